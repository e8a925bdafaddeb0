"""Many copies of an environment behind Gymnasium's vector interface."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from . import _rushes, _spec


class VectorEnv(gymnasium.vector.VectorEnv[Any, Any, NDArray[Any]]):
    """`num_envs` copies of an environment, each as `gymnasium.make` would make it, stepped together.

    Args:
        id: The environment's id, for example `CartPole-v1`.
        num_envs: How many copies.
        max_episode_steps: The time limit in steps; `None` or -1 for no limit.
        render_mode: `"rgb_array"` or `None`.
        autoreset_mode: When a copy whose episode is over resets, as in Gymnasium.
        threads: How many threads step the copies; results do not depend on it. Worth it where a step takes more than
            a few microseconds: Box2D's and MuJoCo's environments.
        copy: Whether arrays are copied on return. Without, observations, rewards, terminations and truncations are views
            of the arrays that the next step writes into.
        options: The constructor's options, as Gymnasium's environment of this id has them.
    """

    def __init__(
        self,
        id: str,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        threads: int = 1,
        copy: bool = True,
        **options: Any,
    ):
        card = _spec.card(id)
        if max_episode_steps == -1:
            max_episode_steps = None
        options_json = _spec.options_json(card, options)
        self._native = _rushes.Vector(card["id"], options_json, num_envs, max_episode_steps, threads)
        description = json.loads(self._native.description)
        self.num_envs = num_envs
        self.single_observation_space = _spec.space(description["observation"])
        self.single_action_space = _spec.space(description["action"])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self._next_step, self._same_step, self._disabled = (
            self.autoreset_mode == mode for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
        )
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": card["render_fps"],
            "autoreset_mode": self.autoreset_mode,
        }
        self.render_mode = render_mode
        self.copy = copy
        rows = self._native.rows
        self._observations: Any
        match self.single_observation_space:
            case spaces.Discrete():
                self._observations = rows[:, 0]
            case spaces.Tuple():
                self._observations = tuple(rows.T)
            case space:
                self._observations = rows.reshape(num_envs, *(space.shape or ()))
        self._seeds: list[int] | None = None

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]  # As SyncVectorEnv.
        """The seeds of the copies' random streams, drawn by the first reset where none were given."""
        if self._seeds is None:
            self._seeds = [_spec.fresh_seed() for _ in range(self.num_envs)]
        return tuple(self._seeds)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode in every copy, or in those of the boolean array `options["reset_mask"]`.

        An integer seeds copy i with `seed + i`, a list each copy with its own; without a seed the streams go on, from
        the operating system's entropy if they never were seeded.
        """
        others = dict(options or {})
        mask = others.pop("reset_mask", None)
        _spec.refuse_options(others)
        if mask is None:
            mask = np.ones(self.num_envs, dtype=np.bool_)
        elif not (isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == np.bool_ and mask.any()):
            raise ValueError(f"reset_mask is {mask!r}, expected an array of {self.num_envs} booleans of which one is true")
        if seed is None:
            given: list[int | None] = [None] * self.num_envs
        elif isinstance(seed, (int, np.integer)):
            given = [int(seed) + i for i in range(self.num_envs)]
        else:
            given = list(seed)
            if len(given) != self.num_envs:
                raise ValueError(f"seed has {len(given)} entries, expected one for each of the {self.num_envs} copies")
        started = self._seeds is not None
        self._seeds = [old if new is None else new for old, new in zip(self.np_random_seed, given)]
        seeds: list[int | None] = given if started else list(self._seeds)
        infos: dict[str, Any] = {}
        for i, info in self._native.reset(seeds, mask.tolist()):
            infos = self._add_info(infos, info, i)
        return self._observed(), infos

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advances every copy by one step.

        Returns observations, rewards (float64), terminations and truncations (bool), each with one row a copy, and
        infos with a mask beside each.
        """
        if self._disabled and any(ended_before := self._native.over()):
            raise ValueError(f"the episodes of copies {np.flatnonzero(ended_before).tolist()} are over: reset them by `reset_mask`")
        # A reset within the step writes into the arrays, too.
        copy = self.copy or self._same_step
        rewards, terminated, truncated, ended, told = self._native.step(actions, self._next_step, copy)
        infos: dict[str, Any] = {}
        if ended and self._same_step:
            over = terminated | truncated
            last, final = dict(told), self._observed(always=True)
            told = [(i, info) for i, info in told if not over[i]]
            for i in np.flatnonzero(over).tolist():
                info = {"final_obs": self._row(final, i), "final_info": last.get(i, {})}
                infos = self._add_info(infos, info, i)
            told += self._native.reset([None] * self.num_envs, over.tolist())
        for i, info in told:
            infos = self._add_info(infos, info, i)
        return self._observed(), rewards, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]  # Gymnasium leaves it open.
        """The pictures of all copies, each uint8 of height × width × 3; `None` without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render was called without a render mode: make the environments with render_mode='rgb_array'")
            return None
        return tuple(self._native.render(i) for i in range(self.num_envs))

    def _observed(self, always: bool = False) -> Any:
        """The observations of all copies, copied if asked for."""
        if not (self.copy or always):
            return self._observations
        if isinstance(self._observations, tuple):
            return tuple(part.copy() for part in self._observations)
        return self._observations.copy()

    @staticmethod
    def _row(observations: Any, i: int) -> Any:
        """The observation of copy `i`, as a single environment gives it."""
        return tuple(int(part[i]) for part in observations) if isinstance(observations, tuple) else observations[i]


def vector(id: str, num_envs: int, **options: Any) -> VectorEnv:
    """`num_envs` copies of the environment `id` with its registered time limit; see :class:`VectorEnv`."""
    options.setdefault("max_episode_steps", _spec.card(id)["max_episode_steps"])
    return VectorEnv(id, num_envs, **options)
