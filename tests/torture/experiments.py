"""Small experiments with every learning algorithm of the program, for the campaigns beside this file."""

import json
import subprocess

# Settings that keep an algorithm's iterations short, for those that have them.
SMALL = {
    "n_steps": 16, "n_envs": 2, "batch_size": 32, "n_epochs": 2, "buffer_size": 1000, "learning_starts": 100,
    "population_size": 6, "ensemble_size": 2, "candidates": 8, "horizon": 5,
    "planner": {"name": "random_shooting", "candidates": 8, "depth": 5},
}
POLICIES = [{"type": "neural", "hidden": [16]}, {"type": "tabular"}, {"type": "neural", "hidden": []}]


class Broken(Exception):
    """The campaign itself cannot go on."""


def each_algorithm(program, environments, accepts):
    """A small experiment for each algorithm that the schema lists, in the first environment that it is accepted in."""
    schema = json.loads(subprocess.run([program, "schema"], check=True, capture_output=True).stdout)
    for algorithm in schema["$defs"]["AlgorithmSpec"]["oneOf"]:
        known = algorithm["properties"]
        name = known["name"]["const"]
        settings = {"name": name} | {key: value for key, value in SMALL.items() if key in known}
        candidates = (experiment(name, env, policy, settings) for env in environments for policy in POLICIES)
        fitting = next((made for made in candidates if accepts(made)), None)
        if fitting is None:
            raise Broken(f"no small experiment for the algorithm {name}: extend SMALL, POLICIES or the environments")
        yield fitting


def experiment(name, environment, policy, settings):
    made = {
        "name": name,
        "environment": environment,
        "seeds": 2,
        "agents": {name: {"policy": policy, "training": {"algorithm": settings}}},
        "evaluation": {"episodes": 2, "training_episodes": 1},
        "recording": {"episodes": 1, "max_steps": 20, "training": {"episodes": 10}},
    }
    schedule(made, 1000)
    return made


def schedule(made, steps):
    for agent in made["agents"].values():
        agent["training"]["schedule"] = {
            "steps": steps, "checkpoint_every": {"steps": steps // 10}, "evaluate_every": {"steps": steps // 4},
            "record_every": {"steps": steps // 2},
        }
