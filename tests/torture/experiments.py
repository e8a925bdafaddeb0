"""Small experiments with every learning algorithm of the program, for the campaigns beside this file."""

import json
import subprocess

# Settings that keep an algorithm's iterations short, for those that have them.
SMALL = {
    "n_steps": 16, "n_envs": 2, "batch_size": 32, "n_epochs": 2, "buffer_size": 1000, "learning_starts": 100,
    "population_size": 6, "ensemble_size": 2, "candidates": 8, "horizon": 5,
    "planner": {"name": "random_shooting", "candidates": 8, "depth": 5},
    "critic_hidden": [16], "renorm_warmup_steps": 50,
}
# Those that learn from a dataset.
OFFLINE = {"bc", "td3_bc"}
POLICIES = [
    {"type": "neural", "hidden": [16]}, {"type": "tabular"}, {"type": "neural", "hidden": []},
    {"type": "neural", "hidden": [16], "recurrent": {"type": "lstm", "hidden_size": 16}},
]


class Broken(Exception):
    """The campaign itself cannot go on."""


def each_algorithm(program, environments, accepts, folder=None):
    """A small experiment for each algorithm that the schema lists, in the first environment that it is accepted in; those that
    learn from a dataset have theirs in the folder, and are left out without one."""
    schema = json.loads(subprocess.run([program, "schema"], check=True, capture_output=True).stdout)
    for algorithm in schema["$defs"]["AlgorithmSpec"]["oneOf"]:
        known = algorithm["properties"]
        name = known["name"]["const"]
        settings = {"name": name} | {key: value for key, value in SMALL.items() if key in known}
        if name in OFFLINE and folder is None:
            continue
        dataset = (lambda env: played(program, env["id"], folder)) if name in OFFLINE else (lambda _: None)
        candidates = (
            experiment(name, env, policy, settings, dataset(env)) for env in environments for policy in POLICIES
        )
        fitting = next((made for made in candidates if accepts(made)), None)
        if fitting is None:
            raise Broken(f"no small experiment for the algorithm {name}: extend SMALL, POLICIES or the environments")
        yield fitting


def played(program, environment, folder):
    """Where in the folder a dataset of random play lies."""
    place = f"datasets/{environment}"
    if not (folder / place).exists():
        command = [program, "play", "--random", "--env", environment, "--episodes", "5", "--dataset", folder / place]
        subprocess.run(command, check=True, capture_output=True)
    return place


def experiment(name, environment, policy, settings, dataset=None):
    made = {
        "name": name,
        "environment": environment,
        "seeds": 2,
        "agents": {name: {"policy": policy, "training": {"algorithm": settings}}},
        "evaluation": {"episodes": 2, "training_episodes": 1},
        "recording": {"episodes": 1, "max_steps": 20, "training": {"episodes": 10}},
    }
    if dataset is not None:
        made["agents"][name]["training"]["dataset"] = dataset
    schedule(made, 1000)
    return made


def schedule(made, steps):
    for agent in made["agents"].values():
        agent["training"]["schedule"] = {
            "steps": steps, "checkpoint_every": {"steps": steps // 10}, "evaluate_every": {"steps": steps // 4},
            "record_every": {"steps": steps // 2},
        }
