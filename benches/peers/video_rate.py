"""Frames per second of Gymnasium's RecordVideo on CartPole-v1: stepping, drawing and encoding.

A fixed rule keeps the pole up, so that every episode is 500 steps long. Prints one JSON line.
"""

import argparse
import json
import tempfile
import time

import gymnasium as gym
from gymnasium.wrappers import RecordVideo


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        env = RecordVideo(
            gym.make("CartPole-v1", render_mode="rgb_array"),
            folder,
            episode_trigger=lambda _: True,
            disable_logger=True,
        )
        frames = 0
        start = time.perf_counter()
        for episode in range(arguments.episodes):
            observation, _ = env.reset(seed=arguments.seed + episode)
            frames += 1
            done = False
            while not done:
                x, x_dot, theta, theta_dot = observation
                action = int(0.1 * x + 0.3 * x_dot + 3.0 * theta + theta_dot > 0.0)
                observation, _, terminated, truncated, _ = env.step(action)
                frames += 1
                done = terminated or truncated
        env.close()
        seconds = time.perf_counter() - start
    print(json.dumps({"frames": frames, "seconds": seconds, "frames_per_second": frames / seconds}))


if __name__ == "__main__":
    main()
