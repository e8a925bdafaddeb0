"""Rebuilds a policy's network in PyTorch and prints its outputs.

    python load_policy.py policy.safetensors < observations.json > outputs.json

Observations and outputs are JSON lists of lists of numbers; pictures are flat. Needs torch, safetensors and numpy.
"""

import json
import sys

import torch
from safetensors import safe_open

ACTIVATIONS = {
    "linear": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "leaky_relu": lambda: torch.nn.LeakyReLU(0.01),
    "elu": torch.nn.ELU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "silu": torch.nn.SiLU,
}


def load(path):
    """The network of a policy.safetensors, ready to be called, and the settings from its header."""
    with safe_open(path, framework="pt") as file:
        settings = json.loads(file.metadata()["rushes"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    policy = settings["agent"]["policy"]
    # Other tensors, such as the statistics of a normaliser, have names that start with a word.
    tensors = {name: tensor for name, tensor in tensors.items() if name[0].isdigit()}
    layers = []
    for convolution in policy.get("convolutions", []):
        units, channels, kernel, _ = tensors[f"{len(layers)}.weight"].shape
        layers.append(torch.nn.Conv2d(channels, units, kernel, convolution["stride"]))
        layers.append(ACTIVATIONS[policy["activation"]]())
    if layers:
        layers.append(torch.nn.Flatten())

    def normalise():
        if f"{len(layers)}.running_mean" in tensors:
            layers.append(torch.nn.BatchNorm1d(len(tensors[f"{len(layers)}.running_mean"]), eps=1e-3))

    for width in policy["hidden"]:
        normalise()
        size = tensors[f"{len(layers)}.weight"].shape[1]
        layers.append(torch.nn.Linear(size, width))
        if tensors.get(f"{len(layers)}.weight", torch.empty(0, 0)).dim() == 1:
            layers.append(torch.nn.LayerNorm(width))
        layers.append(ACTIVATIONS[policy["activation"]]())
        if policy["dropout"] > 0:
            layers.append(torch.nn.Dropout(policy["dropout"]))
    normalise()
    outputs, size = tensors[f"{len(layers)}.weight"].shape
    layers.append(torch.nn.Linear(size, outputs))
    network = torch.nn.Sequential(*layers).to(tensors["0.weight"].dtype)
    network.load_state_dict(tensors)
    return network.eval(), settings


def main():
    network, settings = load(sys.argv[1])
    first = next(network.parameters())
    observations = torch.tensor(json.load(sys.stdin), dtype=first.dtype)
    policy = settings["agent"]["policy"]
    if policy.get("convolutions"):
        picture = policy["observation"]
        shape = (first.shape[1], picture["height"], picture["width"])
        observations = observations.reshape(-1, *shape)
    with torch.no_grad():
        outputs = network(observations)
    json.dump(outputs.tolist(), sys.stdout)


if __name__ == "__main__":
    main()
