"""Chase: a puck is pushed after a moving target. It speaks `rushes-env` 1 (docs/external-environments.md) with NumPy alone."""

import json, mmap, os, sys
import numpy as np

hello = json.loads(sys.stdin.buffer.raw.readline())  # raw: commands follow the lines, nothing may be read ahead
copies, channel = hello["copies"], os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)  # what is printed goes to standard error
box = lambda bound, *shape: {"type": "box", "dtype": "<f4", "shape": shape, "low": -bound, "high": bound}
card = {"version": 1, "action_space": box(1, 2), "observation_space": box(4, 6), "frame": [96, 96], "render_fps": 20}
channel.write(json.dumps(card).encode() + b"\n")
memory = json.loads(sys.stdin.buffer.raw.readline())
with open(memory["path"], "r+b") as file:
    mapped = mmap.mmap(file.fileno(), memory["size"])
view = {a["name"]: np.ndarray(a["shape"], a["dtype"], mapped, a["offset"]) for a in memory["arrays"]}
channel.write(b'{"ready": true}\n')

rngs = [np.random.default_rng() for _ in range(copies)]
puck, speed, target, course = np.zeros((4, copies, 2))

def reset(i):
    if view["reset"][i] == 1:
        rngs[i] = np.random.default_rng(view["seed"][i])
    puck[i], speed[i], target[i], course[i] = rngs[i].uniform(-1, 1, (4, 2)) * [[1], [0], [1], [0.03]]
    observe(i)

def observe(i):
    view["observation.0"][i] = np.concatenate([puck[i], 10 * speed[i], target[i]]).clip(-4, 4)

def step(i):
    speed[i] = 0.9 * speed[i] + 0.02 * view["action.0"][i]
    puck[i] = (puck[i] + speed[i]).clip(-1, 1)
    course[i] *= np.where(abs(target[i] + course[i]) > 1, -1, 1)
    target[i] += course[i]
    view["reward"][i] = -np.linalg.norm(puck[i] - target[i])
    observe(i)  # the time limit of the experiment ends the episodes: this environment never does

def draw(i):
    view["frame"][i] = (30, 34, 40)
    for place, colour in ((target[i], (255, 180, 60)), (puck[i], (120, 200, 255))):
        x, y = (48 + 42 * place).astype(int)
        view["frame"][i, y - 4 : y + 5, x - 4 : x + 5] = colour

while command := os.read(0, 1):
    if command == b"I":
        infos = json.dumps([None] * copies).encode()
        channel.write(b"K" + len(infos).to_bytes(4, "little") + infos)
        continue
    act, mask = {b"S": (step, "step"), b"R": (reset, "reset"), b"F": (draw, "step")}[command]
    for i in np.flatnonzero(view[mask]):
        act(i)
    channel.write(b"K")
