"""RLlib's PPO on CartPole-v0, with its own defaults and tutorial T3's network (32 linear units), until the mean
return of the last 100 episodes is 195: the peer of experiments/tutorials/t3-rllib-ppo.json.

Everything is in one process, which is RLlib's fastest way on one core. The seconds are the processor's, while it
learns. Prints one JSON line.
"""

import argparse
import json
import logging
import time

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-seconds", type=float, default=900.0)
    arguments = parser.parse_args()

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    network = DefaultModelConfig(fcnet_hiddens=[32], fcnet_activation="linear")
    config = (
        PPOConfig()
        .environment("CartPole-v0")
        .env_runners(num_env_runners=0)
        .learners(num_learners=0)
        .rl_module(model_config=network)
        .debugging(seed=arguments.seed, log_level="ERROR")
    )
    algorithm = config.build_algo()
    start = time.process_time()
    mean_return = 0.0
    while mean_return < 195.0 and time.process_time() - start < arguments.most_seconds:
        found = algorithm.train()["env_runners"]
        mean_return = found["episode_return_mean"]
    seconds = time.process_time() - start
    algorithm.stop()
    ray.shutdown()
    if mean_return < 195.0:
        raise SystemExit(f"the mean return was {mean_return:.1f} after {seconds:.0f} s")
    steps = int(found["num_env_steps_sampled_lifetime"])
    print(json.dumps({"steps": steps, "seconds": seconds, "solved_per_hour": 3600 / seconds}))


if __name__ == "__main__":
    main()
