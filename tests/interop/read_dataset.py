"""Prints what Minari reads of datasets, as JSON: read_dataset.py FOLDER…"""

import json
import sys

import minari
import numpy as np
from gymnasium import spaces


def rows(space, values):
    """The elements of a space, one after another, flat; each has to belong to it."""
    if isinstance(space, spaces.Tuple):
        return [sum(parts, []) for parts in zip(*(rows(part, value) for part, value in zip(space.spaces, values)))]
    elements = list(values)
    assert all(space.contains(element) for element in elements), (space, elements)
    return [np.asarray(element).reshape(-1).tolist() for element in elements]


def read(folder):
    dataset = minari.MinariDataset(folder)
    environment = dataset.env_spec and [dataset.env_spec.id, dataset.env_spec.kwargs, dataset.env_spec.max_episode_steps]
    return {
        "id": dataset.id,
        "steps": dataset.total_steps,
        "spaces": [str(dataset.observation_space), str(dataset.action_space)],
        "environment": environment,
        "seeds": [of["seed"] for of in dataset.storage.get_episode_metadata(range(len(dataset)))],
        "episodes": [
            {
                "observations": rows(dataset.observation_space, episode.observations),
                "actions": rows(dataset.action_space, episode.actions),
                "rewards": episode.rewards.tolist(),
                "terminations": episode.terminations.tolist(),
                "truncations": episode.truncations.tolist(),
            }
            for episode in dataset
        ],
    }


json.dump([read(folder) for folder in sys.argv[1:]], sys.stdout)
