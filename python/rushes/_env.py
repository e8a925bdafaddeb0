"""One environment behind Gymnasium's interface."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from . import _rushes, _spec


class Env(gymnasium.Env[Any, Any]):
    """One environment without a time limit; `gymnasium.make` adds its registered one.

    Args:
        id: The environment's id, for example `CartPole-v1`.
        render_mode: `"rgb_array"` or `None`.
        options: The constructor's options, as Gymnasium's environment of this id has them.

    Actions outside of the action space raise a `ValueError`, a step before the first reset a `RuntimeError`.
    `np_random` is a generator with the seed of the last `reset(seed=…)`; the environment draws from one of its own.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, id: str, render_mode: str | None = None, **options: Any):
        card = _spec.card(id)
        self._native = _rushes.Single(card["id"], _spec.options_json(card, options))
        description = json.loads(self._native.description)
        self.observation_space = _spec.space(description["observation"])
        self.action_space = _spec.space(description["action"])
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": card["render_fps"]}
        self.render_mode = render_mode
        self._seeded = False
        self._convert: Callable[[NDArray[Any]], Any] | None
        match self.observation_space:
            case spaces.Box(shape=shape) if len(shape) != 1:
                self._convert = lambda flat: flat.reshape(shape)
            case spaces.Discrete():
                self._convert = lambda flat: int(flat[0])
            case spaces.Tuple():
                self._convert = lambda flat: tuple(flat.tolist())
            case _:
                self._convert = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; returns its first observation and info."""
        _spec.refuse_options(options)
        if seed is not None:
            super().reset(seed=seed)
        elif not self._seeded:
            seed = self._np_random_seed if self._np_random_seed is not None else _spec.fresh_seed()
            super().reset(seed=seed)
        observation, info = self._native.reset(seed)
        self._seeded = True
        return (observation if self._convert is None else self._convert(observation)), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advances by one step; returns observation, reward, terminated, truncated and info."""
        if self._convert is None:
            return self._native.step(action)
        observation, *rest = self._native.step(action)
        return (self._convert(observation), *rest)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]  # Gymnasium leaves it open.
        """The picture of the present state, uint8 of height × width × 3; `None` without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render was called without a render mode: make the environment with render_mode='rgb_array'")
            return None
        return self._native.render()
