"""Frames per second of Gymnasium's RecordVideo: stepping, drawing and encoding.

A fixed rule keeps CartPole's pole up; other environments get random actions. Prints one JSON
line.
"""

import argparse
import json
import tempfile
import time

import gymnasium as gym
from gymnasium.wrappers import RecordVideo


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("env", nargs="?", default="CartPole-v1")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        env = RecordVideo(
            gym.make(arguments.env, render_mode="rgb_array"),
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
                action = balance(observation) if arguments.env.startswith("CartPole") else env.action_space.sample()
                observation, _, terminated, truncated, _ = env.step(action)
                frames += 1
                done = terminated or truncated
        env.close()
        seconds = time.perf_counter() - start
    print(json.dumps({"frames": frames, "seconds": seconds, "frames_per_second": frames / seconds}))


def balance(observation):
    x, x_dot, theta, theta_dot = observation
    return int(0.1 * x + 0.3 * x_dot + 3.0 * theta + theta_dot > 0.0)


if __name__ == "__main__":
    main()
