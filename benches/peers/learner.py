"""What the peers that train our experiment files have in common."""

import argparse
import json
import pathlib


def parser(description):
    """Takes the file, how long to train and the seed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=read, help="an experiment file")
    parser.add_argument("--steps", type=int, help="instead of the file's")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def read(file):
    return json.loads(pathlib.Path(file).read_text())


def first_agent(arguments):
    """The file's first agent, to be trained for `arguments.steps`."""
    agent = next(iter(arguments.experiment["agents"].values()))
    arguments.steps = arguments.steps or agent["training"]["schedule"]["steps"]
    return agent


def print_rate(steps, seconds):
    print(json.dumps({"steps": steps, "seconds": seconds, "steps_per_second": steps / seconds}))
