"""Trains one of our experiment files with Stable-Baselines3, whose names and defaults our hyperparameters have.

The file's first agent is trained; what Stable-Baselines3 has no argument for, it refuses. The seconds are the
processor's, while it learns. Prints one JSON line.
"""

import argparse
import json
import pathlib
import time

import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=pathlib.Path)
    parser.add_argument("--steps", type=int, help="instead of the file's")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    experiment = json.loads(arguments.experiment.read_text())
    agent = next(iter(experiment["agents"].values()))
    model = build(agent, experiment["environment"]["id"], arguments.seed)
    start = time.process_time()
    model.learn(arguments.steps or agent["training"]["schedule"]["steps"])
    seconds = time.process_time() - start
    line = {"steps": model.num_timesteps, "seconds": seconds, "steps_per_second": model.num_timesteps / seconds}
    print(json.dumps(line))


def build(agent, env_id, seed):
    settings = {name: schedule(value) for name, value in agent["training"]["algorithm"].items()}
    algorithm = getattr(stable_baselines3, settings.pop("name").upper())
    env = make_vec_env(env_id, settings.pop("n_envs", 1), seed=seed)
    policy = agent["policy"]
    network = {"net_arch": policy["hidden"], "activation_fn": ACTIVATIONS[policy["activation"]]}
    return algorithm("MlpPolicy", env, policy_kwargs=network, seed=seed, device="cpu", **settings)


def schedule(value):
    return LinearSchedule(value["linear"], value.get("to", 0.0), 1.0) if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
