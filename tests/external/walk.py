#!/usr/bin/env python3
"""An environment for the tests of the protocol `rushes-env`, with nothing but Python: a walk along a line, which fails
where its options say so.

Options: `actions` ("discrete" or "box"), `observations` ("box" or "discrete"), `fault` (below), `at` (the step of the process
that it happens in, 0 while it starts), `marker` (a file that the first process makes and later ones find).
"""

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time

HALF, LIMIT = 5, 40
down, up = open(0, "rb", buffering=0), open(1, "wb", buffering=0)


def tell(message):
    up.write(json.dumps(message).encode() + b"\n")


def hear():
    line = b""
    while not line.endswith(b"\n"):
        byte = down.read(1)
        if not byte:
            sys.exit()
        line += byte
    return json.loads(line)


class Copy:
    def __init__(self):
        self.random, self.place, self.steps = random.Random(), 0, 0

    def reset(self, seed):
        if seed is not None:
            self.random = random.Random(seed)
        self.place, self.steps = self.random.randint(-2, 2), 0

    def step(self, move):
        self.place = max(-HALF, min(HALF, self.place + (1 if move > 0 else -1) * self.random.choice([1, 1, 1, -1])))
        self.steps += 1
        return float(self.place == HALF), abs(self.place) == HALF, self.steps >= LIMIT


def fail(fault, view):
    if fault == "exception":
        why = b"Traceback (most recent call last):\nValueError: the walker fell"
        up.write(b"E" + struct.pack("<I", len(why)) + why)
        return True
    if fault == "exit":
        print("out of patience", file=sys.stderr)
        os._exit(7)
    if fault == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault in ("hang", "orphan"):
        if fault == "orphan":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "walk.py", *sys.argv[1:]])
        time.sleep(600)
    if fault == "reply":
        up.write(b"hello\n")
        return True
    if fault == "nan_reward":
        view["reward"][1][0] = float("nan")
    if fault == "nan_observation":
        view["observation.0"][1][0] = float("nan")
    if fault == "outside":
        view["observation.0"][1][0] = 99
    if fault == "closed":
        os.close(1)
        time.sleep(600)
    return False


def main():
    hello = hear()
    options = hello["options"]
    fault, at = options.get("fault"), options.get("at", 0)
    changed = False
    if "marker" in options:
        changed = fault == "spaces" and os.path.exists(options["marker"])
        open(options["marker"], "w").close()
    if fault == "version":
        return tell({"version": 2})
    if fault == "refuses":
        return tell({"error": "Traceback (most recent call last):\nImportError: no walker"})
    if fault == "garbage":
        up.write(b"Welcome to the walk!\n")
    number = {"type": "box", "dtype": "<f4", "shape": [1], "low": -HALF, "high": HALF + changed}
    place = {"type": "discrete", "n": 2 * HALF + 1, "start": -HALF}
    discrete = options.get("observations") == "discrete"
    moves = {"type": "discrete", "n": 2} if options.get("actions") != "box" else {**number, "low": -1, "high": 1}
    tell({
        "version": 1, "adapter": "the walk of the tests", "observation_space": place if discrete else number,
        "action_space": moves, "max_episode_steps": LIMIT, "reward_threshold": 0.5,
    })
    memory = hear()
    with open(memory["path"], "r+b") as file:
        mapped = mmap.mmap(file.fileno(), memory["size"])
    view = {}
    for array in memory["arrays"]:
        code = {"<f4": "f", "<f8": "d", "<i8": "q", "<u8": "Q"}.get(array["dtype"], "B")
        size = struct.calcsize(code) * hello["copies"]
        view[array["name"]] = (array["dtype"], memoryview(mapped)[array["offset"]:array["offset"] + size].cast(code))
    tell({"ready": True})
    copies, steps = [Copy() for _ in range(hello["copies"])], 0
    column = {name: numbers for name, (_, numbers) in view.items()}

    def reset(i):
        copies[i].reset(column["seed"][i] if column["reset"][i] == 1 else None)
        column["observation.0"][i] = copies[i].place

    while command := down.read(1):
        if command == b"R":
            for i in range(len(copies)):
                if column["reset"][i]:
                    reset(i)
        elif command == b"S":
            steps += 1
            for i, copy in enumerate(copies):
                if not column["step"][i]:
                    continue
                column["reward"][i], terminated, truncated = copy.step(column["action.0"][i])
                column["terminated"][i], column["truncated"][i] = terminated, truncated
                column["observation.0"][i] = copy.place
                if (terminated or truncated) and column["reset"][i]:
                    column["final_observation.0"][i] = copy.place
                    reset(i)
            if fault and steps == at and fail(fault, view):
                continue
        elif command == b"I":
            infos = json.dumps([{"steps": copy.steps} for copy in copies]).encode()
            up.write(b"K" + struct.pack("<I", len(infos)) + infos)
            continue
        else:
            break
        up.write(b"K")


main()
