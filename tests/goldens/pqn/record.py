"""Records radam.safetensors from PyTorch 2.11.0, in double precision: parameters before and after each step of
torch.optim.RAdam on the sum of 3 cos(x) + x².

    python tests/goldens/pqn/record.py tests/goldens/pqn
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

STEPS, COUNT = 40, 9


def steps(**settings):
    x = torch.linspace(-2, 2.5, COUNT, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.RAdam([x], lr=0.01, **settings)
    rows = [x.detach().clone()]
    for _ in range(STEPS):
        optimiser.zero_grad()
        (3 * x.cos() + x.square()).sum().backward()
        optimiser.step()
        rows.append(x.detach().clone())
    return torch.stack(rows)


def main():
    other = steps(betas=(0.8, 0.95), eps=1e-5, weight_decay=0.1)
    save_file({"default": steps(), "other": other}, pathlib.Path(sys.argv[1]) / "radam.safetensors")


if __name__ == "__main__":
    main()
