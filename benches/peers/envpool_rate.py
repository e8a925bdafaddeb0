"""Environment steps per second of EnvPool's C++ environments, copies stepped together on one thread, with random
actions drawn before the clock starts.

Copies whose episodes end start anew at their next step, which counts as one. Prints one JSON line.
"""

import argparse
import json
import time

import envpool
import numpy as np

BLOCK = 64


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("env")
    parser.add_argument("--copies", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    copies = arguments.copies
    envs = envpool.make(arguments.env, env_type="gymnasium", num_envs=copies, num_threads=1, seed=arguments.seed)
    space = envs.action_space
    space.seed(arguments.seed)
    actions = [np.stack([space.sample() for _ in range(copies)]) for _ in range(BLOCK)]
    envs.reset()

    steps = 0
    start = time.perf_counter()
    while (seconds := time.perf_counter() - start) < arguments.seconds:
        for action in actions:
            envs.step(action)
            # A slow environment must not overrun the clock by a whole block.
            if time.perf_counter() - start > arguments.seconds:
                break
            steps += copies
    print(json.dumps({"env": arguments.env, "steps": steps, "seconds": seconds, "steps_per_second": steps / seconds}))


if __name__ == "__main__":
    main()
