"""Lets a trained agent or a heuristic act for rushes, over the protocol `rushes-policy` 1.

    import rushes_policy
    from stable_baselines3 import PPO

    model = PPO.load("model.zip")
    rushes_policy.serve(lambda observation, greedy: model.predict(observation, deterministic=greedy)[0])

An experiment names the script: "policy": {"type": "external", "command": ["python", "agent.py"]}. Needs numpy.
"""

import json
import mmap
import os
import random
import sys
import traceback

import numpy as np

# Where rushes started this program, the protocol's channel is moved away at once: whatever is printed from here on, while a
# policy is loaded too, goes to standard error. Anyone else who imports this keeps standard input and output.
_down = _up = None
if os.environ.pop("RUSHES_POLICY", None):
    _down, _up = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

options = {}
"""`policy.options` of the experiment, once `serve` has begun."""


def serve(act, begin=None):
    """Answers until rushes is done.

    `act(observation, greedy)` returns an action for an observation, both as Gymnasium has them; `greedy` says whether the best
    action is asked for or a sample. `begin(seed)`, if given, is called before the first action of each episode; `random` and
    `numpy.random` are seeded then in any case.
    """
    if _down is None or _up is None:
        raise RuntimeError(
            "nobody asks for actions here: name this script in an experiment, "
            '"policy": {"type": "external", "command": ["python", "agent.py"]}, and let rushes start it'
        )
    lines = os.fdopen(_down, "rb", buffering=0)

    def tell(message):
        os.write(_up, json.dumps(message).encode() + b"\n")

    hello = json.loads(lines.readline())
    if (hello["protocol"], hello["version"]) != ("rushes-policy", 1):
        return tell({"error": f"asked for {hello['protocol']} {hello['version']}, this file speaks rushes-policy 1"})
    options.update(hello["options"])
    tell({"version": 1})
    memory = json.loads(lines.readline())
    with open(memory["path"], "r+b") as file:
        mapped = mmap.mmap(file.fileno(), memory["size"])
    view = {a["name"]: np.ndarray(a["shape"], a["dtype"], mapped, a["offset"])[0:1] for a in memory["arrays"]}
    tell({"ready": True})

    def arrays(name):
        return [view[key] for key in view if key.startswith(name + ".")]

    observations, actions = arrays("observation"), arrays("action")
    while lines.read(1) == b"A":
        try:
            if view["begins"][0]:
                seed = int(view["seed"][0])
                random.seed(seed)
                np.random.seed(seed)
                if begin:
                    begin(seed)
            parts = iter([array[0].copy() for array in observations])
            action = act(_assemble(hello["observation_space"], parts), bool(view["greedy"][0]))
            for array, part in zip(actions, _parts(hello["action_space"], action)):
                part = np.asarray(part)
                if part.size != array[0].size:
                    raise ValueError(f"the action {action!r} has {part.size} numbers where {array[0].size} are expected")
                array[0] = part.reshape(array.shape[1:])
                if array.dtype.kind in "iu" and not np.array_equal(array[0].ravel(), part.ravel()):
                    raise ValueError(f"the action {action!r} is not of whole numbers of the action space")
            os.write(_up, b"K")
        except Exception:
            why = traceback.format_exc().encode(errors="replace")
            os.write(_up, b"E" + len(why).to_bytes(4, "little") + why)


def _assemble(space, parts):
    """An element of a space from its parts, in order."""
    if space["type"] == "dict":
        return {key: _assemble(part, parts) for key, part in space["spaces"].items()}
    if space["type"] == "tuple":
        return tuple(_assemble(part, parts) for part in space["spaces"])
    part = next(parts)
    return int(part) if space["type"] == "discrete" else part


def _parts(space, value):
    """The parts of an element of a space, in order."""
    if space["type"] == "dict":
        return [part for key, one in space["spaces"].items() for part in _parts(one, value[key])]
    if space["type"] == "tuple":
        if len(value) != len(space["spaces"]):
            raise ValueError(f"the action {value!r} has {len(value)} parts where {len(space['spaces'])} are expected")
        return [part for one, element in zip(space["spaces"], value) for part in _parts(one, element)]
    return [value]
