"""Reads TensorBoard event files with TensorBoard's own reader.

    python read_scalars.py DIR > scalars.json

Prints {folder: {tag: [[step, value], …]}} for every folder with event files. Needs tensorboard.
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
    folders = sorted({file.parent for file in root.rglob("*.tfevents.*")})
    json.dump({str(folder.relative_to(root)): scalars(folder) for folder in folders}, sys.stdout)
