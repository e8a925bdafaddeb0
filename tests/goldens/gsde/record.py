"""Records NAME.safetensors from Stable-Baselines3 2.9.2 and sb3-contrib 2.9.2 (PyTorch 2.15.0), in double precision: updates of SAC,
TQC and PPO with generalised state-dependent exploration, from given weights on given minibatches.

    python tests/goldens/gsde/record.py tests/goldens/gsde

Standard normal draws of the exploration matrices are those of `recording.py`.
"""

import pathlib
import sys

import numpy as np
import torch
from sb3_contrib import TQC
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch.distributions import Normal

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recording import DIMENSIONS, OBSERVATION, ROWS, Spaces, noise, quiet, replayed_updates, round_actions, save, single

UPDATES = 8


def network(prefix, modules):
    """A network's tensors by the program's names."""
    linear = {number: module for number, module in enumerate(modules) if isinstance(module, torch.nn.Linear)}
    return {f"{prefix}{number}.{part}": getattr(module, part) for number, module in linear.items() for part in ("weight", "bias")}


def state(model):
    tensors = network("", [*model.actor.latent_pi, *model.actor.mu]) | {"log_std": model.actor.log_std, "log_ent_coef": model.log_ent_coef}
    for suffix, critic in ("", model.critic), ("_target", model.critic_target):
        for i in range(len(critic.q_networks)):
            tensors |= network(f"critic{i}{suffix}.", getattr(critic, f"qf{i}"))
    return clones(tensors)


def clones(tensors):
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def updates(algorithm, more, rng):
    model = algorithm(
        "MlpPolicy",
        Spaces(),
        learning_rate=0.01,
        batch_size=ROWS,
        tau=0.1,
        use_sde=True,
        policy_kwargs={"net_arch": [8, 6], "log_std_init": -1.0, **more},
        seed=1,
        device="cpu",
    )
    model.policy.double()
    with torch.no_grad():
        # Some means beyond the bounds.
        model.actor.mu[0].weight *= 12
    model.log_ent_coef = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    model.ent_coef_optimizer = torch.optim.Adam([model.log_ent_coef], lr=0.01)
    draws = noise()

    def rsample(self, sample_shape=()):
        # Matrices of parallel environments, which have a shape, are drawn and not used.
        numbers = [next(draws) for _ in range(self.loc.numel())] if not sample_shape else [0.0] * self.loc.numel()
        return (self.loc + self.scale * torch.tensor(numbers, dtype=torch.float64).view_as(self.loc)).view(*sample_shape, *self.loc.shape)

    Normal.rsample = rsample
    clipped = []

    def see(observations):
        mean, _, _ = model.actor.get_action_dist_params(observations)
        clipped.append(float((mean.abs() == 2).double().mean()))

    round_actions(model, see)
    recorded = replayed_updates(model, UPDATES, rng, state)
    assert 0 < np.mean(clipped) < 0.9, clipped
    return recorded


def on_policy_updates(rng):
    model = PPO(
        "MlpPolicy",
        Spaces(),
        learning_rate=0.01,
        n_steps=ROWS,
        batch_size=ROWS,
        n_epochs=1,
        normalize_advantage=False,
        ent_coef=0.05,
        use_sde=True,
        policy_kwargs={"net_arch": [8, 6], "log_std_init": -1.0},
        seed=1,
        device="cpu",
    )
    policy = model.policy.double()
    logged = quiet(model)

    def state():
        actor = network("", [*policy.mlp_extractor.policy_net, policy.action_net])
        critic = network("critic.", [*policy.mlp_extractor.value_net, policy.value_net])
        return clones(actor | critic | {"log_std": policy.log_std})

    recorded = {f"before.{name}": tensor for name, tensor in state().items()}
    for i in range(UPDATES):
        observations, actions = single(rng.normal(size=(ROWS, OBSERVATION))), single(rng.normal(size=(ROWS, DIMENSIONS)))
        with torch.no_grad():
            _, log_prob, _ = policy.evaluate_actions(observations, actions)
        numbers = lambda: torch.tensor(rng.normal(size=ROWS))
        batch = RolloutBufferSamples(
            observations=observations,
            actions=actions,
            old_values=numbers(),
            old_log_prob=log_prob + 0.3 * numbers(),
            advantages=numbers(),
            returns=numbers(),
        )
        model.rollout_buffer.get = lambda _: [batch]
        model.train()
        recorded |= {f"{i}.{name}": tensor for name, tensor in batch._asdict().items() if name != "old_values"}
        for ours, theirs in ("policy_loss", "policy_gradient_loss"), ("value_loss", "value_loss"), ("entropy", "entropy_loss"):
            recorded[f"{i}.{ours}"] = torch.tensor([float(logged[f"train/{theirs}"])], dtype=torch.float64)
    return recorded | {f"after.{name}": tensor for name, tensor in state().items()}


# Levels of four quantiles are exact in single precision, in which theirs are.
save(
    sys.argv[1],
    {
        "sac": updates(SAC, {}, np.random.default_rng(2)),
        "tqc": updates(TQC, {"n_quantiles": 4}, np.random.default_rng(2)),
        "ppo": on_policy_updates(np.random.default_rng(2)),
    },
)
