"""Gymnasium's registry: every environment below `rushes/`."""

import gymnasium

from . import _spec


def register() -> None:
    """Registers every environment.

    Order enforcement is left out because it costs about a third of a step of CartPole and the extension checks the order
    and the actions itself; the passive checker, because the tests run all of it on every environment. The time limit is
    Gymnasium's wrapper, so that `max_episode_steps` works as usual.
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
