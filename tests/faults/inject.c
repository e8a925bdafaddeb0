// Makes one system call of a program fail, to see what it does then; preloaded into it (LD_PRELOAD).
//
//   FAULT_BELOW   only calls about paths below this folder count
//   FAULT_LOG     a file that gets a line "CALL PATH" for each of them
//   FAULT_CALL    the call that fails: open (to write), write, sync, rename, mkdir, symlink, unlink, truncate
//   FAULT_PATH    the paths that it fails for, a pattern of fnmatch
//   FAULT_NTH     which of the matching calls fails, counted from 1 over all processes
//   FAULT_COUNT   a file to count them in
//   FAULT_ERRNO   the number of the error

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// Appends a line to a file, and gives the file's new length. The kernel keeps lines of other processes apart.
static off_t append(const char *file, const char *line) {
    int fd = REAL(open64)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        abort();
    if (REAL(write)(fd, line, strlen(line)) < 0)
        abort();
    struct stat status;
    fstat(fd, &status);
    close(fd);
    return status.st_size;
}

// Whether this call is the one to fail; errno is then set.
static int fails(const char *call, const char *path) {
    const char *below = getenv("FAULT_BELOW");
    if (!below || strncmp(path, below, strlen(below)))
        return 0;
    const char *log = getenv("FAULT_LOG");
    if (log) {
        char line[4300];
        snprintf(line, sizeof line, "%s %s\n", call, path);
        append(log, line);
    }
    const char *expected = getenv("FAULT_CALL"), *pattern = getenv("FAULT_PATH");
    if (!expected || strcmp(call, expected) || fnmatch(pattern, path, FNM_PATHNAME))
        return 0;
    if (append(getenv("FAULT_COUNT"), ".") != atoll(getenv("FAULT_NTH")))
        return 0;
    errno = atoi(getenv("FAULT_ERRNO"));
    return 1;
}

static int fails_fd(const char *call, int fd) {
    char link[64], path[4200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(call, path);
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = va_arg(more, mode_t);                                                                            \
        va_end(more);                                                                                                  \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails("open", path))                                            \
            return -1;                                                                                                 \
        return REAL(name)(path, flags, mode);                                                                          \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *bytes, size_t count) {
    return fails_fd("write", fd) ? -1 : REAL(write)(fd, bytes, count);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return fails_fd("write", fd) ? -1 : REAL(writev)(fd, parts, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fails_fd("write", fd) ? -1 : REAL(pwrite64)(fd, bytes, count, at);
}
int fsync(int fd) { return fails_fd("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_fd("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate64(int fd, off64_t length) { return fails_fd("truncate", fd) ? -1 : REAL(ftruncate64)(fd, length); }
int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }
int symlink(const char *to, const char *path) { return fails("symlink", path) ? -1 : REAL(symlink)(to, path); }
int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(unlink)(path); }
