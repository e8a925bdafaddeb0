"""Reads TensorBoard event files with TensorBoard's own reader.

    python read_scalars.py DIR > scalars.json

Prints {trial: {tag: [[step, value], …]}}. Needs tensorboard.
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def scalars(folder):
    """Every scalar below one trial's folder."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags}


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1])
    json.dump({trial.name: scalars(trial) for trial in sorted(root.iterdir())}, sys.stdout)
