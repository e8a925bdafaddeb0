"""What the recordings of Stable-Baselines3's agents have in common: their task, their noise, and how updates from a replay memory
are recorded. Used by `record.py` of the folders beside this file.

Standard normal draws are those of the program's stream for seed SEED (`rushes_rng::stream(SEED, Minibatch, 3)`), whose words
are NumPy's, by Box and Muller's transform.
"""

import pathlib

import gymnasium as gym
import numpy as np
import torch
from safetensors.torch import save_file
from stable_baselines3.common import policies
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

SEED = 4
OBSERVATION, DIMENSIONS, ROWS = 3, 2, 12
LOSSES = ("critic_loss", "actor_loss", "ent_coef_loss")

# Theirs makes observations single, and with them what the first layer computes.
policies.preprocess_obs = lambda observations, *_, **__: observations


class Spaces(gym.Env):
    observation_space = gym.spaces.Box(-9, 9, (OBSERVATION,))
    action_space = gym.spaces.Box(-2, 2, (DIMENSIONS,))


def single(array):
    """Numbers that single precision holds, as the program's minibatches."""
    return torch.tensor(np.asarray(array, np.float32).astype(np.float64))


def noise():
    bits = np.random.PCG64(np.random.SeedSequence([SEED, 4, 3]))

    def uniform():
        return (int(bits.random_raw()) >> 11) / 2**53

    while True:
        radius = np.sqrt(-2 * np.log(1 - uniform()))
        yield radius * np.cos(2 * np.pi * uniform())


def quiet(model):
    """What a model logs, by its name."""
    logged = {}
    model.set_logger(Logger(None, []))
    model.logger.record = lambda key, value, **_: logged.__setitem__(key, value)
    return logged


def round_actions(model, see=lambda observations: None):
    """Has the critics see actions in single precision, as the program's do; `see` is called with what the actor sees."""
    exact = model.actor.action_log_prob

    def rounded(observations):
        see(observations)
        actions, log_prob = exact(observations)
        return actions + (actions.float().double() - actions).detach(), log_prob

    model.actor.action_log_prob = rounded


def replayed_updates(model, updates, rng, state, losses=lambda update: LOSSES):
    """So many updates on minibatches drawn by `rng`, with `state(model)` before and after and the losses of each."""
    logged = quiet(model)
    recorded = {f"before.{name}": tensor for name, tensor in state(model).items()}
    for i in range(updates):
        batch = ReplayBufferSamples(
            observations=single(rng.normal(size=(ROWS, OBSERVATION))),
            actions=single(np.tanh(rng.normal(size=(ROWS, DIMENSIONS)))),
            next_observations=single(rng.normal(size=(ROWS, OBSERVATION))),
            rewards=single(rng.normal(size=(ROWS, 1))),
            dones=single(rng.random((ROWS, 1)) < 0.3),
            discounts=single(np.full((ROWS, 1), 0.9)),
        )
        model.replay_buffer.sample = lambda *_, **__: batch
        model.train(1, ROWS)
        recorded |= {
            f"{i}.observations": batch.observations,
            f"{i}.actions": batch.actions,
            f"{i}.next_observations": batch.next_observations,
            f"{i}.rewards": batch.rewards,
            f"{i}.discounts": (1 - batch.dones) * batch.discounts,
        }
        for loss in losses(i):
            recorded[f"{i}.{loss}"] = torch.tensor([float(logged[f"train/{loss}"])], dtype=torch.float64)
    return recorded | {f"after.{name}": tensor for name, tensor in state(model).items()}


def save(folder, recordings):
    """Writes each of the recordings, by its name."""
    for name, tensors in recordings.items():
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(tensors, pathlib.Path(folder) / f"{name}.safetensors")
