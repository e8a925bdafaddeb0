/* Catch, an environment in plain C that speaks `rushes-env` 1 (docs/external-environments.md): a paddle catches
   balls that fall and bounce between two walls; the episode ends with the first one it misses.

   cc -std=c99 -O2 -o catch catch.c        It needs POSIX (open, mmap, read, write), and no library. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEIGHT = 120, WIDTH = 160 };

typedef struct { uint64_t random; double x, y, speed, paddle; } Catch;

/* SplitMix64, between 0 and 1: every copy has a stream of its own, which its seed begins. */
static double uniform(Catch *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static void drop(Catch *c) {
    c->y = 0;
    c->x = uniform(c);
    c->speed = 0.06 * uniform(c) - 0.03;
}

static void reset(Catch *c) {
    c->paddle = 0.5;
    drop(c);
}

/* Returns the reward; `*over` is whether the episode ended. */
static double step(Catch *c, int64_t action, uint8_t *over) {
    c->paddle += 0.05 * (double)(action - 1);
    c->paddle = c->paddle < 0 ? 0 : c->paddle > 1 ? 1 : c->paddle;
    c->x += c->speed;
    if (c->x < 0 || c->x > 1) { c->x = c->x < 0 ? -c->x : 2 - c->x; c->speed = -c->speed; }
    c->y += 0.04;
    *over = 0;
    if (c->y < 1) return 0;
    double miss = c->x > c->paddle ? c->x - c->paddle : c->paddle - c->x;
    if (miss > 0.1) { *over = 1; return 0; }
    drop(c);
    return 1;
}

static void observe(const Catch *c, float *to) {
    to[0] = (float)c->x, to[1] = (float)c->y, to[2] = (float)(30 * c->speed), to[3] = (float)c->paddle;
}

static void block(uint8_t *frame, double x, double y, int w, int h, int red, int green, int blue) {
    int left = (int)(10 + x * (WIDTH - 20)) - w / 2, top = (int)(5 + y * (HEIGHT - 15)) - h / 2;
    for (int i = 0; i < w * h; i++) {
        int column = left + i % w, row = top + i / w;
        if (column < 0 || column >= WIDTH || row < 0 || row >= HEIGHT) continue;
        uint8_t *pixel = frame + 3 * (row * WIDTH + column);
        pixel[0] = (uint8_t)red, pixel[1] = (uint8_t)green, pixel[2] = (uint8_t)blue;
    }
}

static void render(const Catch *c, uint8_t *frame) {
    memset(frame, 24, 3 * WIDTH * HEIGHT);
    block(frame, c->x, c->y, 8, 8, 255, 200, 60);
    block(frame, c->paddle, 1.03, 28, 5, 90, 170, 255);
}

/* The lines from rushes are compact JSON with their fields in a fixed order, so that this is all the parsing needed. */
static char *after(char *line, const char *text) {
    char *found = strstr(line, text);
    if (!found) { puts("{\"error\":\"a line of the handshake lacks a field\"}"); exit(1); }
    return found + strlen(text);
}

static char *map;

/* Where an array of the shared memory begins. */
static void *array(char *line, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"name\":\"%s\"", name);
    return map + atoll(after(after(line, key), "\"offset\":"));
}

int main(void) {
    static char line[1 << 16];
    setvbuf(stdin, NULL, _IONBF, 0); /* commands follow the lines: nothing may be read ahead */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!fgets(line, sizeof line, stdin)) return 0;
    long copies = atol(after(line, "\"copies\":"));
    int drawn = strncmp(after(line, "\"render\":"), "true", 4) == 0;
    printf("{\"version\":1,\"adapter\":\"catch 1.0\",\"render_fps\":25,\"frame\":[%d,%d],"
           "\"observation_space\":{\"type\":\"box\",\"dtype\":\"<f4\",\"shape\":[4],\"low\":[0,0,-1,0],\"high\":[1,1,1,1]},"
           "\"action_space\":{\"type\":\"discrete\",\"n\":3}}\n", HEIGHT, WIDTH);

    if (!fgets(line, sizeof line, stdin)) return 0;
    char *path = after(line, "\"path\":\"");
    size_t size = (size_t)atoll(after(line, "\"size\":"));
    char *arrays = after(line, "\"arrays\":");
    *strchr(path, '"') = 0;
    int file = open(path, O_RDWR);
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || map == MAP_FAILED) { puts("{\"error\":\"the memory cannot be mapped\"}"); return 1; }
    int64_t *action = array(arrays, "action.0");
    float *observation = array(arrays, "observation.0"), *last = array(arrays, "final_observation.0");
    double *reward = array(arrays, "reward");
    uint8_t *terminated = array(arrays, "terminated"), *take_part = array(arrays, "step"), *again = array(arrays, "reset");
    uint64_t *seed = array(arrays, "seed");
    uint8_t *frame = drawn ? array(arrays, "frame") : NULL;
    puts("{\"ready\":true}");

    Catch *all = calloc((size_t)copies, sizeof *all);
    char command;
    while (read(0, &command, 1) == 1) {
        for (long i = 0; i < copies; i++) {
            Catch *c = all + i;
            int resets = command == 'R' && again[i];
            if (command == 'S' && take_part[i]) {
                reward[i] = step(c, action[i], terminated + i);
                resets = terminated[i] && again[i];
                observe(c, (resets ? last : observation) + 4 * i);
            }
            if (resets) {
                if (again[i] == 1) c->random = seed[i];
                reset(c);
                observe(c, observation + 4 * i);
            }
            if (command == 'F' && take_part[i]) render(c, frame + 3 * WIDTH * HEIGHT * i);
        }
        if (command == 'I') {
            /* The infos: a length of four bytes, little-endian, and one JSON value for each copy. */
            uint32_t length = (uint32_t)(5 * copies + 1);
            uint8_t head[5] = { 'K', length & 255, length >> 8 & 255, length >> 16 & 255, length >> 24 };
            if (write(1, head, 5) != 5) return 1;
            for (long i = 0; i < copies; i++)
                if (write(1, i ? ",null" : "[null", 5) != 5) return 1;
            if (write(1, "]", 1) != 1) return 1;
        } else if (write(1, "K", 1) != 1) return 1;
    }
    return 0;
}
