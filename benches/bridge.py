"""Steps per second of Gymnasium's environments through our bridge, beside Gymnasium's own ways of stepping copies.

    taskset -c 0 PYTHON benches/bridge.py        with a Python that has gymnasium 1.1 or newer

Everything, parent and child, runs on the core that `taskset` gives. Each round measures every way once, in turn; printed are
medians over the rounds and their ratios. `pipes` sends the same pictures through a pipe and nothing else: what a bridge
without shared memory cannot exceed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 210, 160


class Picture(gym.Env):
    """A picture that costs nothing."""

    observation_space = gym.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def reset(self, seed=None, options=None):
        return self.picture, {}

    def step(self, action):
        return self.picture, 0.0, False, False, {}


def rate(step, copies, seconds):
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        step()
        steps += copies
    return steps / (time.perf_counter() - begun)


def actions(copies):
    while True:
        yield from np.random.randint(2, size=(1000, copies))


def bare(copies, seconds):
    """A loop over environments in this process."""
    envs = [gym.make("CartPole-v1", disable_env_checker=True) for _ in range(copies)]
    for i, env in enumerate(envs):
        env.reset(seed=i)
    drawn = actions(copies)

    def step():
        for env, action in zip(envs, next(drawn).tolist()):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return rate(step, copies, seconds)


def vector(kind, copies, seconds, **options):
    envs = kind([lambda: gym.make("CartPole-v1", disable_env_checker=True)] * copies, autoreset_mode=AutoresetMode.SAME_STEP, **options)
    envs.reset(seed=0)
    drawn = actions(copies)
    found = rate(lambda: envs.step(next(drawn)), copies, seconds)
    envs.close()
    return found


def bridge(name, copies, seconds):
    program = ROOT / "target/release/examples/bridge_rate"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run([program, sys.executable, name, str(copies), str(seconds)], check=True, capture_output=True,
                          text=True, env=os.environ | {"PYTHONPATH": path})
    return float(told.stdout)


def pipes(copies, seconds):
    """A byte there, the pictures of all copies back."""
    size = copies * HEIGHT * WIDTH * 3
    code = f"import os\npicture = bytes({size})\nwhile os.read(0, 1):\n    rest = memoryview(picture)\n    while rest: rest = rest[os.write(1, rest):]"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    buffer = memoryview(bytearray(size))

    def step():
        child.stdin.write(b"S")
        read = 0
        while read < size:
            read += child.stdout.readinto(buffer[read:])

    found = rate(step, copies, seconds)
    child.stdin.close()
    child.wait()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "rushes-external", "--example", "bridge_rate"],
                   check=True, cwd=ROOT)
    ways = {}
    for copies in (1, 8, 64):
        ways |= {
            f"{copies} bare": lambda s, n=copies: bare(n, s),
            f"{copies} SyncVectorEnv": lambda s, n=copies: vector(SyncVectorEnv, n, s),
            f"{copies} bridge": lambda s, n=copies: bridge("CartPole-v1", n, s),
        }
    ways["1 AsyncVectorEnv"] = lambda s: vector(AsyncVectorEnv, 1, s, shared_memory=True)
    ways["8 pictures, bridge"] = lambda s: bridge("bridge:Picture", 8, s)
    ways["8 pictures, pipes"] = lambda s: pipes(8, s)
    rates = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, measure in ways.items():
            rates[name].append(measure(args.seconds))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, median in medians.items():
        print(f"{name:<22}{median:>12,.0f} steps/s")
    for one, other in [
        ("64 bridge", "64 SyncVectorEnv"), ("64 bridge", "64 bare"), ("1 bridge", "1 SyncVectorEnv"),
        ("1 bridge", "1 AsyncVectorEnv"), ("8 pictures, bridge", "8 pictures, pipes"),
    ]:
        ratios = [a / b for a, b in zip(rates[one], rates[other])]
        print(f"{one} / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
