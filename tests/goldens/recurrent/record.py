"""Records updates.safetensors, and sde.safetensors with generalised state-dependent exploration, from sb3-contrib 2.9.2 and
Stable-Baselines3 2.9.2 (PyTorch 2.15.0), in double precision: updates of RecurrentPPO from given weights on minibatches that its
rollout buffer cuts into sequences.

    python tests/goldens/recurrent/record.py tests/goldens/recurrent
"""

import pathlib
import sys

import gymnasium as gym
import numpy as np
import torch
from safetensors.torch import save_file
from sb3_contrib import RecurrentPPO
from stable_baselines3.common import policies
from stable_baselines3.common.logger import Logger

OBSERVATION, DIMENSIONS, HIDDEN, LAYERS = 3, 2, 5, 2
STEPS, COPIES, ROWS, UPDATES = 16, 3, 20, 8


class Spaces(gym.Env):
    observation_space = gym.spaces.Box(-9, 9, (OBSERVATION,))
    action_space = gym.spaces.Box(-2, 2, (DIMENSIONS,))


def network(prefix, lstm, modules):
    """A network's tensors by the program's names."""
    tensors = {f"{prefix}0.{name}": tensor for name, tensor in lstm.named_parameters()}
    for number, module in enumerate(modules, 1):
        if isinstance(module, torch.nn.Linear):
            tensors |= {f"{prefix}{number}.{part}": getattr(module, part) for part in ("weight", "bias")}
    return tensors


def clones(tensors):
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def double(part):
    """A tensor, or tuples of tensors, in double precision."""
    if isinstance(part, torch.Tensor):
        return part.double()
    return tuple(map(double, part)) if type(part) is tuple else type(part)(*map(double, part))


def minibatch(buffer, rng):
    """A minibatch of a rollout of random numbers, the first that the buffer makes."""
    buffer.reset()
    for name, array in vars(buffer).items():
        if isinstance(array, np.ndarray) and array.dtype == np.float32:
            array[:] = rng.normal(size=array.shape)
    buffer.episode_starts[:] = rng.random(buffer.episode_starts.shape) < 0.2
    buffer.full = True
    return next(buffer.get(ROWS))


# Theirs makes observations single, and the first layer with them.
policies.preprocess_obs = lambda observations, *_, **__: observations


def record(file, use_sde):
    model = RecurrentPPO(
        "MlpLstmPolicy",
        Spaces(),
        learning_rate=0.01,
        n_steps=STEPS,
        batch_size=ROWS,
        n_epochs=1,
        clip_range_vf=0.3,
        ent_coef=0.05,
        use_sde=use_sde,
        # Latent features are small: with small deviations too, actions would be so unlikely that rounding showed.
        policy_kwargs={"net_arch": [6], "lstm_hidden_size": HIDDEN, "n_lstm_layers": LAYERS, "log_std_init": 2.0 if use_sde else -0.5},
        seed=1,
        device="cpu",
    )
    policy = model.policy.double()
    model.set_logger(Logger(None, []))
    logged = {}
    model.logger.record = lambda key, value, **_: logged.__setitem__(key, value)


    def state():
        actor = network("", policy.lstm_actor, [*policy.mlp_extractor.policy_net, policy.action_net])
        critic = network("critic.", policy.lstm_critic, [*policy.mlp_extractor.value_net, policy.value_net])
        return clones(actor | critic | {"log_std": policy.log_std})


    rng = np.random.default_rng(2)
    np.random.seed(3)
    buffer = type(model.rollout_buffer)(
        STEPS, Spaces.observation_space, Spaces.action_space, (STEPS, LAYERS, COPIES, HIDDEN), "cpu", 0.95, 0.99, COPIES
    )
    recorded = {f"before.{name}": tensor for name, tensor in state().items()}
    sequences = []
    for i in range(UPDATES):
        batch = double(minibatch(buffer, rng))
        with torch.no_grad():
            _, log_prob, _ = policy.evaluate_actions(batch.observations, batch.actions, batch.lstm_states, batch.episode_starts)
        batch = batch._replace(old_log_prob=log_prob + 0.3 * batch.old_log_prob)
        model.rollout_buffer.get = lambda _: [batch]
        model.train()

        real = batch.mask > 1e-8
        count = batch.lstm_states.pi[0].shape[1]
        lengths = real.view(count, -1).sum(1)
        sequences.append(lengths.tolist())
        # A sequence that begins an episode begins with zeros.
        begins = batch.episode_starts.view(count, -1)[:, 0]
        for name, states in ("actor", batch.lstm_states.pi), ("critic", batch.lstm_states.vf):
            # By sequence, layer, hidden or cell state.
            recorded[f"{i}.{name}_states"] = torch.stack(states).permute(2, 1, 0, 3) * (1 - begins).view(-1, 1, 1, 1)
        recorded[f"{i}.lengths"] = lengths.double()
        for name in ("observations", "actions", "old_values", "old_log_prob", "advantages", "returns"):
            recorded[f"{i}.{name}"] = getattr(batch, name)[real]
        for ours, theirs in ("policy_loss", "policy_gradient_loss"), ("value_loss", "value_loss"), ("entropy", "entropy_loss"):
            recorded[f"{i}.{ours}"] = torch.tensor([float(logged[f"train/{theirs}"])], dtype=torch.float64)
    recorded |= {f"after.{name}": tensor for name, tensor in state().items()}

    assert all(sum(lengths) == ROWS and len(lengths) > 2 and len(set(lengths)) > 1 for lengths in sequences), sequences
    assert all(tensor.isfinite().all() for tensor in recorded.values())
    save_file({name: tensor.contiguous() for name, tensor in recorded.items()}, pathlib.Path(sys.argv[1]) / f"{file}.safetensors")


record("updates", use_sde=False)
record("sde", use_sde=True)
