"""What two runs of the same experiment have to have in common."""

import json

# What the clock and the machine decide.
CLOCK = {"seconds", "training_seconds", "steps_per_second", "peak_memory_bytes"}


def run_in(folder):
    """The run below an experiment's output folder, where one was planned."""
    return next((plan.parent for plan in folder.glob("2*/plan.json")), None)


def traces(run):
    """What has to be the same however a run was run: file → content."""
    found = {"plan.json": without_clock(json.loads((run / "plan.json").read_text()))}
    for trial in (run / "trials").iterdir():
        for file in trial.iterdir():
            name = f"{trial.name}/{file.name}"
            if file.name == "events.jsonl":
                found[name] = [without_clock(json.loads(line)) for line in file.read_text().splitlines()]
            elif file.name in ("result.json", "exit.json"):
                found[name] = without_clock(json.loads(file.read_text()))
            elif file.suffix in (".safetensors", ".mp4", ".png"):
                found[name] = file.read_bytes()
    return found


def differing(run, other):
    """The names of what differs between two runs."""
    found, expected = traces(run), traces(other)
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def without_clock(value):
    return {key: kept for key, kept in value.items() if key not in CLOCK}
