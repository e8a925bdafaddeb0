"""Compares two run directories: what happened in training (apart from the time that it took), the learned policies and
the returns of what was filmed."""

import json
import sys
from pathlib import Path


def events(trial):
    lines = map(json.loads, (trial / "events.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def policy(trial):
    path = trial / "policy.safetensors"
    return path.read_bytes() if path.exists() else None


def returns(trial):
    result = json.loads((trial / "result.json").read_text())
    return [take["take"]["returns"] for take in result["takes"]]


one, other = (Path(run) / "trials" for run in sys.argv[1:])
names = sorted(path.name for path in one.iterdir())
if names != sorted(path.name for path in other.iterdir()):
    sys.exit("the trials are not the same")
counts = []
for what in events, policy, returns:
    for name in names:
        if what(one / name) != what(other / name):
            sys.exit(f"{what.__name__} of {name} differ")
for what in events, returns:
    counts.append(sum(len(what(one / name)) for name in names))
policies = sum(policy(one / name) is not None for name in names)
print(f"{counts[0]} events, {policies} policies, {counts[1]} takes")
if not (counts[0] and policies and counts[1]):
    sys.exit("there is nothing to compare")
