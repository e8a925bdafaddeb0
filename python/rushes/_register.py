"""Gymnasium's registry: every environment below `rushes/`."""

import gymnasium

from . import _spec


def register() -> None:
    """Registers every environment.

    Gymnasium's passive checker and order enforcement are left out: both cost more than a step, and the extension checks
    actions and the order itself. The time limit is Gymnasium's wrapper, so that `max_episode_steps` works as usual.
    """
    for id, card in _spec.cards().items():
        gymnasium.register(
            id=_spec.registered(id),
            entry_point="rushes:Env",
            vector_entry_point="rushes:VectorEnv",
            kwargs={"id": id},
            max_episode_steps=card["max_episode_steps"],
            reward_threshold=card["reward_threshold"],
            order_enforce=False,
            disable_env_checker=True,
        )
