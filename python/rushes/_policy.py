"""Learned policies of the program, in NumPy or PyTorch."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from . import _spec
from ._program import RushesError, ask

if TYPE_CHECKING:
    import torch

#: What normalised observations are cut to, and what is added to their variance.
_CLIP, _EPSILON = 10.0, 1e-8


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


_ACTIVATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, x.dtype.type(0.01) * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
}


class Policy:
    """A learned policy: from observations, as the environment gives them, to the best actions it knows.

    Made by :func:`load_policy`. Equal to the program's greedy policy, but for the rounding of the network's sums. A recurrent one
    remembers what it has seen since :meth:`reset`, of one episode or, where :meth:`many` acts, of each copy's.
    """

    #: The agent's name.
    agent: str
    #: Of one observation and one action.
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    #: The network's modules, as `rushes play --network --json` tells them.
    layers: list[dict[str, Any]]
    #: The learned numbers by the names of docs/interop.md: `0.weight`, `0.bias`, …
    tensors: dict[str, NDArray[Any]]

    def __init__(self, described: dict[str, Any], tensors: dict[str, NDArray[Any]]):
        self.agent, self.layers, self.tensors = described["agent"], described["layers"], tensors
        self.observation_space = _spec.space(described["observation_space"])
        self.action_space = _spec.space(described["action_space"])
        self._readout = described["readout"]
        self._masked = described.get("action_mask", False)
        self._divisor = _divisor(self.observation_space)
        self._states: NDArray[Any] | None = None

    @property
    def recurrent(self) -> bool:
        """Whether the network remembers: an episode then begins with :meth:`reset`."""
        return bool(self.layers[0]["type"] == "recurrent")

    def reset(self) -> None:
        """Begins an episode: a recurrent policy forgets what it has seen, in all copies. Others have nothing to forget."""
        self._states = None

    def __call__(self, observation: Any, action_mask: Any = None) -> Any:
        """The best action for one observation, as `env.step` takes it, the next one of an episode where the policy is recurrent.
        One that was trained with `action_mask` needs `info["action_mask"]`."""
        masks = None if action_mask is None else np.hstack(action_mask)[None]
        action = self.actions(self.network(self.features(observation)[None]), masks)[0]
        return int(action) if isinstance(self.action_space, spaces.Discrete) else action

    def many(self, observations: Any, action_masks: Any = None, episode_starts: Any = None) -> NDArray[Any]:
        """The best actions for observations of a vector environment, one row a copy, with as many rows of masks. `episode_starts`
        tells a recurrent policy, which remembers each copy's episode, whose observation is the first of a new one."""
        part = observations
        while isinstance(part, (tuple, dict)):
            part = next(iter(part.values() if isinstance(part, dict) else part))
        each = iterate(batch_space(self.observation_space, len(part)), observations)
        if episode_starts is not None and self._states is not None:
            self._states = np.where(np.asarray(episode_starts, bool)[:, None, None], 0, self._states)
        return self.actions(self.network(np.stack([self.features(one) for one in each])), action_masks)

    def features(self, observation: Any) -> NDArray[Any]:
        """The flat numbers that the network sees of one observation: discrete ones one-hot, bytes from 0 to 1, others
        normalised where the policy learned so."""
        numbers: Any = flatten(self.observation_space, observation)
        flat = numbers.astype(np.float32) / self._divisor
        if "observations.mean" in self.tensors:
            mean, variance = (self.tensors[f"observations.{part}"].astype(np.float64) for part in ("mean", "variance"))
            flat = np.clip((flat - mean) / np.sqrt(variance + _EPSILON), -_CLIP, _CLIP).astype(np.float32)
        return flat.astype(self._dtype)

    def network(self, features: NDArray[Any]) -> NDArray[Any]:
        """The network's outputs, one row for each row of `features`: logits, means or values of actions. A recurrent network
        takes them as the next step of as many episodes."""
        x = _picture(features, self.observation_space) if self._convolutional else features
        for module, layer in enumerate(self.layers):
            match layer["type"]:
                case "recurrent":
                    x = self._remember(x, module, layer)
                case "linear":
                    x = x @ self.tensors[f"{module}.weight"].T + self.tensors[f"{module}.bias"]
                case "batch_norm":
                    weight, bias, mean, variance = (
                        self.tensors[f"{module}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
                    )
                    x = (x - mean) / np.sqrt(variance + variance.dtype.type(layer["epsilon"])) * weight + bias
                case "layer_norm":
                    weight, bias = self.tensors[f"{module}.weight"], self.tensors[f"{module}.bias"]
                    centred = x - x.mean(axis=1, keepdims=True)
                    variance = np.square(centred).mean(axis=1, keepdims=True)
                    x = centred / np.sqrt(variance + variance.dtype.type(layer["epsilon"])) * weight + bias
                case "convolution":
                    weight, bias = self.tensors[f"{module}.weight"], self.tensors[f"{module}.bias"]
                    axes: Any = (2, 3)  # the stubs of NumPy 2.2, the last for Python 3.10, allow a single one
                    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axes)
                    stride = layer["stride"]
                    sums = np.tensordot(windows[:, :, ::stride, ::stride], weight, ([1, 4, 5], [1, 2, 3]))
                    x = np.moveaxis(sums + bias, 3, 1)
                case "flatten":
                    x = x.reshape(len(x), -1)
                case "activation":
                    x = _ACTIVATIONS[layer["function"]](x)
        return x

    def _remember(self, x: NDArray[Any], module: int, layer: dict[str, Any]) -> NDArray[Any]:
        """A step of recurrent layers. States are a row for each episode: the hidden state of each layer and behind it, of an
        LSTM, its cell state."""
        own = {"lstm": 2, "gru": 1}[layer["cell"]]
        if self._states is None:
            self._states = np.zeros((len(x), own * layer["num_layers"], layer["hidden_size"]), self._dtype)
        if len(self._states) != len(x):
            raise RushesError(f"{self.agent} remembers {len(self._states)} episodes, not {len(x)}: `reset` it before others begin")
        states = self._states.copy()
        for i in range(layer["num_layers"]):
            (weight, bias), (hidden_weight, hidden_bias) = (
                (self.tensors[f"{module}.weight_{side}_l{i}"], self.tensors[f"{module}.bias_{side}_l{i}"]) for side in ("ih", "hh")
            )
            h = states[:, own * i]
            by_input, by_hidden = x @ weight.T + bias, h @ hidden_weight.T + hidden_bias
            if layer["cell"] == "lstm":
                take, forget, new, output = np.split(by_input + by_hidden, 4, axis=1)
                c = _sigmoid(forget) * states[:, own * i + 1] + _sigmoid(take) * np.tanh(new)
                states[:, own * i + 1] = c
                h = _sigmoid(output) * np.tanh(c)
            else:
                (reset, update, new), (by_reset, by_update, candidate) = np.split(by_input, 3, axis=1), np.split(by_hidden, 3, axis=1)
                new = np.tanh(new + _sigmoid(reset + by_reset) * candidate)
                h = new + _sigmoid(update + by_update) * (h - new)
            states[:, own * i] = x = h
        self._states = states
        return x

    def actions(self, outputs: NDArray[Any], action_masks: Any = None) -> NDArray[Any]:
        """The best actions by the network's outputs, one row each, of those that rows of masks allow."""
        if action_masks is not None:
            outputs = self._valid(outputs, np.asarray(action_masks, bool))
        elif self._masked:
            raise RushesError(f"{self.agent} takes valid actions only: give it the action_mask of info")
        space: Any = self.action_space
        match self._readout:
            case {"type": "distribution", "head": {"type": "categorical", "nvec": nvec}}:
                parts = np.split(outputs[:, : sum(nvec)], np.cumsum(nvec)[:-1], axis=1)
                best = np.stack([part.argmax(axis=1) for part in parts], axis=1)
                return best[:, 0] if isinstance(space, spaces.Discrete) else best
            case {"type": "distribution", "head": {"type": "bernoulli"}}:
                return (outputs[:, 0] < 0).astype(np.int64)  # The logit is that of action 0.
            case {"type": "distribution", "head": {"type": "gaussian"}}:
                mean = outputs[:, : math.prod(space.shape)].astype(np.float32)
                return self._shaped(np.clip(mean, space.low.ravel(), space.high.ravel()))
            case {"type": "action_values"}:
                # Where the state's value is an output of its own, it is the last one and the same for all actions.
                return outputs[:, : space.n].argmax(axis=1)
            case {"type": "action_quantiles"}:
                return self._values(outputs).argmax(axis=1)
            case {"type": "squashed"}:
                low, high = space.low.ravel(), space.high.ravel()
                bound = self._readout.get("clip_mean", np.inf)
                squashed = np.tanh(np.clip(outputs[:, : low.size], -bound, bound)).astype(np.float32)
                return self._shaped(np.clip(low + 0.5 * (squashed + 1) * (high - low), low, high))
        raise RushesError(f"{self.agent} acts by {self._readout}, which this package does not know")

    def _values(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """The means of each action's quantiles: the first ones of all actions come first."""
        space: Any = self.action_space
        return outputs.reshape(len(outputs), -1, int(space.n)).mean(axis=1)

    def _valid(self, outputs: NDArray[Any], masks: NDArray[np.bool_]) -> NDArray[Any]:
        """Outputs of invalid actions become -1e8, as in the program."""
        match self._readout:
            case {"type": "distribution", "head": {"type": "categorical"}} | {"type": "action_values"}:
                return np.where(masks, outputs[:, : masks.shape[1]], -1e8)
            case {"type": "action_quantiles", "quantiles": quantiles}:
                return np.tile(np.where(masks, self._values(outputs), -1e8), quantiles)
            case {"type": "distribution", "head": {"type": "bernoulli"}}:  # The logit is that of action 0.
                only = masks[:, :1].astype(outputs.dtype) - masks[:, 1:]
                return np.where(only == 0, outputs[:, :1], 1e8 * only)
        raise RushesError(f"{self.agent} has continuous actions, which have no mask")

    def to_torch(self) -> torch.nn.Sequential:
        """The network as a module of PyTorch, from rows of :meth:`features` to outputs, for :meth:`actions`; needs torch. Not of
        recurrent policies."""
        if self.recurrent:
            raise RushesError(f"{self.agent} remembers, and a torch.nn.Sequential has no states: build an nn.LSTM or nn.GRU of its `tensors`")
        import torch

        functions = {
            "linear": torch.nn.Identity,
            "relu": torch.nn.ReLU,
            "leaky_relu": lambda: torch.nn.LeakyReLU(0.01),
            "elu": torch.nn.ELU,
            "tanh": torch.nn.Tanh,
            "sigmoid": torch.nn.Sigmoid,
            "silu": torch.nn.SiLU,
        }

        def made(module: int, layer: dict[str, Any]) -> torch.nn.Module:
            match layer["type"]:
                case "linear":
                    return torch.nn.Linear(layer["inputs"], layer["output_shape"][0])
                case "batch_norm":
                    return torch.nn.BatchNorm1d(layer["output_shape"][0], layer["epsilon"])
                case "layer_norm":
                    return torch.nn.LayerNorm(layer["output_shape"], layer["epsilon"])
                case "convolution":
                    outputs, inputs, *kernel = self.tensors[f"{module}.weight"].shape
                    return torch.nn.Conv2d(inputs, outputs, tuple(kernel), layer["stride"])
                case "flatten":
                    return torch.nn.Flatten()
                case "activation":
                    return functions[layer["function"]]()
                case "dropout":
                    return torch.nn.Dropout(layer["probability"])
            raise RushesError(f"{self.agent} has a layer {layer['type']}, which this package does not know")

        network = torch.nn.Sequential(*(made(*numbered) for numbered in enumerate(self.layers)))
        network.to(torch.float64 if self._dtype == np.float64 else torch.float32)
        # Others, such as the statistics of a normaliser and a critic's, have names that start with a word.
        learned = {name: torch.tensor(tensor) for name, tensor in self.tensors.items() if name[0].isdigit()}
        network.load_state_dict(learned)
        if self._convolutional:
            space = self.observation_space
            network.register_forward_pre_hook(lambda _, rows: _picture(rows[0], space))
        return network.eval()

    @property
    def _dtype(self) -> np.dtype[Any]:
        """The network's precision: that of its last layer, which every one has."""
        return self.tensors[f"{len(self.layers) - 1}.weight"].dtype

    @property
    def _convolutional(self) -> bool:
        return self.layers[0]["type"] == "convolution"

    def _shaped(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return rows.reshape(len(rows), *(self.action_space.shape or ()))

    def __repr__(self) -> str:
        return f"<Policy of {self.agent}: {self.observation_space} → {self.action_space}>"


def _divisor(space: spaces.Space[Any]) -> NDArray[np.float32]:
    """What the numbers of a flat observation are divided by: bytes by 255."""
    match space:
        case spaces.Dict():
            return np.concatenate([_divisor(part) for part in space.values()])
        case spaces.Tuple():
            return np.concatenate([_divisor(part) for part in space])
        case _:
            return np.full(spaces.flatdim(space), 255.0 if space.dtype == np.uint8 and isinstance(space, spaces.Box) else 1.0, np.float32)


def _picture(rows: Any, space: spaces.Space[Any]) -> Any:
    """Rows of arrays or tensors as pictures with channels first; a last dimension of 1, 3 or 4 is the channels."""
    shape = space.shape
    assert shape is not None
    match shape:
        case (height, width):
            return rows.reshape(-1, 1, height, width)
        case (*frames, height, width, channels) if len(shape) <= 4 and channels in (1, 3, 4):
            array = rows.reshape(-1, math.prod(frames), height, width, channels)
            return array.swapaxes(3, 4).swapaxes(2, 3).reshape(-1, math.prod(frames) * channels, height, width)
        case (*channels, height, width):
            return rows.reshape(-1, math.prod(channels), height, width)
    raise RushesError(f"convolutions look at pictures, and {space} is none")


def _read(path: pathlib.Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file: the length of the header in 8 bytes, the header, the numbers."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    types: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
    return {
        name: np.frombuffer(data[start + at["data_offsets"][0] : start + at["data_offsets"][1]], types[at["dtype"]])
        .reshape(at["shape"])
        .copy()
        for name, at in header.items()
        if name != "__metadata__" and at["dtype"] in types
    }


def load_policy(path: str | pathlib.Path, agent: str | None = None, *, trust: bool = False) -> Policy:
    """The learned policy in a policy.safetensors, or of a trial's or a run's directory.

    Args:
        path: The file or the directory.
        agent: Of a run: the agent, or AGENT/SEED; by default the only one, and its first seed.
        trust: Start the environment's process, where the file names one, although it was not made here.

    Raises:
        RushesError: With the program's message, if there is none, or it is no network: random and hard-coded policies,
            tables and planners.
    """
    arguments = [str(path), *([] if agent is None else [agent]), *["--trust"] * trust]
    described = json.loads(ask("play", *arguments, "--network", "--json"))
    if described["readout"] is None:
        raise RushesError(f"{path} needs an engine that the program is without: `rushes doctor` says how to add it")
    tensors = {} if described["file"] is None else _read(pathlib.Path(described["file"]))
    if not any(name.startswith("0.") for name in tensors):
        raise RushesError(f"{path} has checkpoints alone: its training is not over, and `rushes run --resume=RUN` goes on with it")
    return Policy(described, tensors)
