"""Trains one of our PPO experiment files with PureJaxRL, from a clone of its repository: it is no package.

Its networks are 64-64, it clips values, and it keeps its clipping range whatever the file says. The seconds are the
processor's, of the compiled training. Prints one JSON line.
"""

import pathlib
import sys
import time
import types

import jax

import learner


def main():
    parser = learner.parser(__doc__)
    parser.add_argument("--clone", type=pathlib.Path, required=True, help="of github.com/luchris429/purejaxrl")
    arguments = parser.parse_args()

    agent = learner.first_agent(arguments)
    settings = agent["training"]["algorithm"]
    assert agent["policy"]["hidden"] == [64, 64]
    config = {
        "LR": settings["learning_rate"]["linear"],
        "NUM_ENVS": settings["n_envs"],
        "NUM_STEPS": settings["n_steps"],
        "TOTAL_TIMESTEPS": arguments.steps,
        "UPDATE_EPOCHS": settings["n_epochs"],
        "NUM_MINIBATCHES": settings["n_envs"] * settings["n_steps"] // settings["batch_size"],
        "GAMMA": settings.get("gamma", 0.99),
        "GAE_LAMBDA": settings.get("gae_lambda", 0.95),
        "CLIP_EPS": 0.2,
        "ENT_COEF": settings.get("ent_coef", 0.0),
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": agent["policy"]["activation"],
        "ENV_NAME": arguments.experiment["environment"]["id"],
        "ANNEAL_LR": True,
    }
    key = jax.random.PRNGKey(arguments.seed)
    train = jax.jit(load(arguments.clone).make_train(config)).lower(key).compile()
    start = time.process_time()
    jax.block_until_ready(train(key))
    seconds = time.process_time() - start
    steps = config["NUM_UPDATES"] * config["NUM_STEPS"] * config["NUM_ENVS"]
    learner.print_rate(steps, seconds)


def load(clone):
    """Its module of PPO. Its wrappers import Brax and Navix, which PPO on CartPole does not use."""
    for name in ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["brax"].envs = sys.modules["brax.envs"]
    training = sys.modules["brax.envs.wrappers.training"]
    training.EpisodeWrapper = training.AutoResetWrapper = None
    sys.path.insert(0, str(clone / "purejaxrl"))
    import ppo

    return ppo


if __name__ == "__main__":
    main()
