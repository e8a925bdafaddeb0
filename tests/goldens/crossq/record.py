"""Records renorm.safetensors and updates.safetensors from sb3-contrib 2.9.2 (Stable-Baselines3 2.9.2, PyTorch 2.15.0), in double
precision: a batch renormalisation across its warm-up, and updates of CrossQ from given weights on given minibatches.

    python tests/goldens/crossq/record.py tests/goldens/crossq

Standard normal draws are those of `recording.py`.
"""

import pathlib
import sys

import numpy as np
import torch
from sb3_contrib import CrossQ
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch.distributions import Normal

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recording import LOSSES, ROWS, Spaces, noise, replayed_updates, round_actions, save

UPDATES = 12


def renormalisation(rng):
    columns, warmup = 5, 2
    module = BatchRenorm1d(columns, warmup_steps=warmup).double().train()
    with torch.no_grad():
        module.scale.copy_(torch.tensor(rng.normal(1, 0.5, columns)))
        module.bias.copy_(torch.tensor(rng.normal(0, 0.5, columns)))
    recorded = {"scale": module.scale.detach().clone(), "shift": module.bias.detach().clone()}
    # The last batches are beyond the bounds of both corrections, in some columns.
    for i, (spread, distance) in enumerate([(1, 0), (0.7, 1), (1.3, -1), (1.1, 0.5), (6, 20), (0.05, -3)]):
        columns_scale = np.array([1, 2, 0.5, 1, 1])
        inputs = torch.tensor(rng.normal(distance * np.array([1, 0, 1, 1, 0]), spread * columns_scale, (ROWS, columns)), requires_grad=True)
        gradients = torch.tensor(rng.normal(size=(ROWS, columns)))
        module.zero_grad()
        outputs = module(inputs)
        outputs.backward(gradients)
        recorded |= {
            f"{i}.inputs": inputs.detach(),
            f"{i}.outputs": outputs.detach(),
            f"{i}.grad_outputs": gradients,
            f"{i}.grad_inputs": inputs.grad,
            f"{i}.grad_scale": module.scale.grad.clone(),
            f"{i}.grad_shift": module.bias.grad.clone(),
            f"{i}.running_mean": module.ra_mean.clone(),
            f"{i}.running_var": module.ra_var.clone(),
        }
    module.eval()
    inputs = torch.tensor(rng.normal(size=(ROWS, columns)), requires_grad=True)
    outputs = module(inputs)
    outputs.sum().backward()
    return recorded | {"acting.inputs": inputs.detach(), "acting.outputs": outputs.detach(), "acting.grad_inputs": inputs.grad}


def network(prefix, modules, last):
    """A network's tensors by the program's names; `last` are the linear layers whose outputs lie side by side."""
    tensors = {}
    for number, module in enumerate(modules):
        if isinstance(module, BatchRenorm1d):
            tensors |= {
                f"{prefix}{number}.weight": module.scale,
                f"{prefix}{number}.bias": module.bias,
                f"{prefix}{number}.running_mean": module.ra_mean,
                f"{prefix}{number}.running_var": module.ra_var,
                f"{prefix}{number}.num_batches_tracked": module.steps.double().reshape(1),
            }
        elif isinstance(module, torch.nn.Linear):
            tensors |= {f"{prefix}{number}.weight": module.weight, f"{prefix}{number}.bias": module.bias}
    for part in ("weight", "bias") if last else ():
        tensors[f"{prefix}{len(modules)}.{part}"] = torch.cat([getattr(layer, part) for layer in last])
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def state(model):
    actor, critic = model.actor, model.critic
    tensors = network("", actor.latent_pi, [actor.mu, actor.log_std])
    for i, critic in enumerate(critic.q_networks):
        tensors |= network(f"critic{i}.", critic, [])
    return tensors | {"log_ent_coef": model.log_ent_coef.detach().clone()}


def updates(rng):
    model = CrossQ(
        "MlpPolicy",
        Spaces(),
        learning_rate=0.01,
        batch_size=ROWS,
        policy_kwargs={"net_arch": {"pi": [8, 6], "qf": [10, 7]}, "renorm_warmup_steps": 1, "batch_norm_momentum": 0.1},
        seed=1,
        device="cpu",
    )
    model.policy.double()
    model.log_ent_coef = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    model.ent_coef_optimizer = torch.optim.Adam([model.log_ent_coef], lr=0.01)
    draws = noise()
    Normal.rsample = lambda self, *_: self.loc + self.scale * torch.tensor([next(draws) for _ in range(self.loc.numel())]).view_as(self.loc)
    round_actions(model)
    losses = lambda update: LOSSES if (update + 1) % model.policy_delay == 0 else ("critic_loss",)
    return replayed_updates(model, UPDATES, rng, state, losses)


save(sys.argv[1], {"renorm": renormalisation(np.random.default_rng(1)), "updates": updates(np.random.default_rng(2))})
