"""Trains one of our experiment files with Stable-Baselines3, sb3-contrib or SBX, whose names and defaults our
hyperparameters have.

The file's first agent is trained; a hyperparameter that the library has no argument for, it refuses. The seconds are the
processor's, while it learns, after the few updates in which SBX compiles. Prints one JSON line.
"""

import functools
import importlib
import time

import gymnasium
import learner
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule


def main():
    parser = learner.parser(__doc__)
    parser.add_argument("--library", choices=["stable_baselines3", "sb3_contrib", "sbx"], required=True)
    arguments = parser.parse_args()

    agent = learner.first_agent(arguments)
    model = build(arguments.library, agent, arguments.experiment["environment"], arguments.seed)
    model.learn(2 * model.train_freq.frequency if hasattr(model, "train_freq") else 1)
    before = model.num_timesteps
    start = time.process_time()
    model.learn(arguments.steps, reset_num_timesteps=False)
    seconds = time.process_time() - start
    learner.print_rate(model.num_timesteps - before, seconds)


def build(library, agent, environment, seed):
    settings = {name: schedule(value) for name, value in agent["training"]["algorithm"].items()}
    algorithm = getattr(importlib.import_module(library), settings.pop("name").upper())
    env = make_vec_env(functools.partial(make, environment), settings.pop("n_envs", 1), seed=seed)
    policy = agent["policy"]
    network = {"activation_fn": activation(library, policy["activation"])}
    if "convolutions" in policy:
        # Its network for pictures is that of Mnih et al. (2015), which actor and critic share.
        assert policy["hidden"] == [512] and settings.pop("shared_trunk")
        kind, network["net_arch"] = "CnnPolicy", []
    else:
        kind, network["net_arch"] = "MlpPolicy", policy["hidden"]
    return algorithm(kind, env, policy_kwargs=network, seed=seed, device="cpu", **settings)


def make(environment):
    """The file's environment, in Gymnasium."""
    outside = environment.get("gymnasium", {})
    for module in outside.get("import", []):
        importlib.import_module(module)
    env = gymnasium.make(environment["id"], **environment.get("options", {}))
    for wrapper in outside.get("wrappers", []):
        env = getattr(gymnasium.wrappers, wrapper["name"])(env, **wrapper["options"])
    return env


def activation(library, name):
    if library == "sbx":
        import flax.linen

        return getattr(flax.linen, name)
    import torch

    torch.set_num_threads(1)
    return {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[name]


def schedule(value):
    return LinearSchedule(value["linear"], value.get("to", 0.0), 1.0) if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
