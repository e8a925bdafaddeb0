"""What is known of an environment before it is made, and its constructor's arguments."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import pathlib
from functools import cache
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from . import _rushes

# Later versions simulate contacts otherwise.
MUJOCO = "3.17.0"


@cache
def cards() -> dict[str, dict[str, Any]]:
    """The cards of all environments by their ids."""
    return {card["id"]: card for card in json.loads(_rushes.cards())}


def ids() -> list[str]:
    """The ids of all environments, as `gymnasium.make` takes them."""
    return [registered(id) for id in cards()]


def registered(id: str) -> str:
    """An environment's id in Gymnasium's registry, which allows one slash: `phys2d/CartPole-v1` has a hyphen there."""
    return "rushes/" + id.replace("/", "-")


def card(id: str) -> dict[str, Any]:
    """The card of an environment by its own id or its registered one.

    Raises:
        ValueError: If there is no such environment.
        DependencyNotInstalled: If it needs MuJoCo and the package is missing or another version.
    """
    own = next((own for own in cards() if id in (own, registered(own))), None)
    if own is None:
        raise ValueError(f"there is no environment {id!r}, expected one of: {', '.join(cards())}")
    found = cards()[own]
    if found["family"] == "MuJoCo":
        _find_mujoco(own)
    return found


def _find_mujoco(id: str) -> None:
    """Points the environments' physics at the library of the package `mujoco`, unless RUSHES_MUJOCO names one."""
    if os.environ.get("RUSHES_MUJOCO"):
        return
    try:
        installed = importlib.metadata.version("mujoco")
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if installed != MUJOCO:
        found = "it is not installed" if installed is None else f"{installed} is installed"
        raise DependencyNotInstalled(
            f"{id} needs mujoco {MUJOCO}, and {found}: run `pip install mujoco=={MUJOCO}`"
        )
    package = importlib.util.find_spec("mujoco")
    assert package is not None and package.origin is not None
    os.environ["RUSHES_MUJOCO"] = str(pathlib.Path(package.origin).parent)


def options_json(card: dict[str, Any], options: dict[str, Any]) -> str:
    """Constructor options as JSON.

    Raises:
        TypeError: If the environment has no such option, or it cannot be written as JSON.
    """
    for name in options:
        if name not in card["options"]:
            known = ", ".join(card["options"]) or "none"
            raise TypeError(f"{card['id']} got an unexpected option {name!r}; it has: {known}")

    def plain(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        raise TypeError(f"an option of {card['id']} is {value!r}, expected numbers, strings, lists or dictionaries")

    return json.dumps(options, default=plain)


def space(description: dict[str, Any]) -> spaces.Space[Any]:
    """A space from its description by the extension module."""
    match description["type"]:
        case "discrete":
            return spaces.Discrete(description["n"])
        case "multi_discrete":
            return spaces.MultiDiscrete(description["nvec"])
        case "multi_binary":
            return spaces.MultiBinary(description["n"])
        case "dict":
            return spaces.Dict({name: space(part) for name, part in description["spaces"].items()})
        case "tuple":
            return spaces.Tuple([space(part) for part in description["spaces"]])
        case "box":
            dtype, shape = np.dtype(description["dtype"]), tuple(description["shape"])

            def bound(values: Any) -> NDArray[Any]:
                numbers = np.asarray(values, dtype=np.float64).astype(dtype)  # "inf" is a string in JSON
                return numbers.reshape(shape) if numbers.ndim else np.full(shape, numbers)

            return spaces.Box(bound(description["low"]), bound(description["high"]), shape, dtype.type)
        case other:
            raise NotImplementedError(f"the space {other} has no counterpart in Gymnasium here")


def refuse_options(options: dict[str, Any] | None) -> None:
    """Refuses what `reset(options=…)` cannot do.

    Raises:
        ValueError: If there is an option.
    """
    if options:
        raise ValueError(f"reset got the options {sorted(options)}, and environments of rushes take none there")


def fresh_seed() -> int:
    """A seed from the operating system's entropy."""
    return int.from_bytes(os.urandom(8), "little")
