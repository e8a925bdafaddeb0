"""Environment steps per second of Gymnasium with random actions, drawn before the clock starts.

Episodes that end are reset, and the resets count. Prints one JSON line.
"""

import argparse
import json
import time

import gymnasium as gym

BLOCK = 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("env")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    env = gym.make(arguments.env)
    env.action_space.seed(arguments.seed)
    actions = [env.action_space.sample() for _ in range(BLOCK)]
    env.reset(seed=arguments.seed)

    steps = 0
    start = time.perf_counter()
    while (seconds := time.perf_counter() - start) < arguments.seconds:
        for number, action in enumerate(actions, start=1):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
            # A slow environment must not overrun the clock by a whole block.
            if number % 50 == 0 and time.perf_counter() - start > arguments.seconds:
                break
        steps += number
    print(json.dumps({"env": arguments.env, "steps": steps, "seconds": seconds, "steps_per_second": steps / seconds}))


if __name__ == "__main__":
    main()
