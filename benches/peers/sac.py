"""SAC on BipedalWalker-v3 by Stable-Baselines3: the peer of sac.json. Prints one JSON line."""

import argparse
import json
import time

import torch
from stable_baselines3 import SAC


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    model = SAC(
        "MlpPolicy",
        "BipedalWalker-v3",
        learning_rate=7.3e-4,
        buffer_size=300_000,
        batch_size=256,
        gamma=0.98,
        tau=0.02,
        train_freq=64,
        gradient_steps=64,
        learning_starts=0,
        policy_kwargs={"net_arch": [400, 300]},
        seed=arguments.seed,
        device="cpu",
    )
    start = time.perf_counter()
    model.learn(arguments.steps)
    seconds = time.perf_counter() - start
    steps = model.num_timesteps
    print(json.dumps({"steps": steps, "seconds": seconds, "steps_per_second": steps / seconds}))


if __name__ == "__main__":
    main()
