"""Plays policies that were trained here in the real Gymnasium, by PyTorch, and compares the returns.

    rushes run benches/peers/transfer/cartpole.json
    .deps/peers-venv/bin/python benches/peers/transfer.py output/transfer-cartpole/latest/trials/ppo--s0 …

Takes trial directories with a policy.safetensors and a result.json, or policy files that lie in one. Prints a
row of a Markdown table for each: the evaluation's mean return here, the mean return there over as many
episodes with other seeds, the p-value of a two-sample permutation test of the two means, and, over the
evaluation's own seeds, in how many episodes the return is the same.

Needs torch, safetensors, numpy and gymnasium 1.1.1; for Box2D's environments box2d-py.
"""

import argparse
import json
import pathlib
import sys

import gymnasium as gym
import numpy as np
import torch
from safetensors import safe_open

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "interop"))
from load_policy import load  # noqa: E402

PERMUTATIONS = 10_000


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trials", nargs="+", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode; the others count up")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| environment | policy | here | Gymnasium | p | same seeds, same return |")
    print("|---|---|---|---|---|---|")
    for trial in arguments.trials:
        folder = trial.parent if trial.is_file() else trial
        print(compare(folder, arguments.seed), flush=True)


def compare(folder, first_seed):
    """A row of the table."""
    file = folder / "policy.safetensors"
    result = json.loads((folder / "result.json").read_text())
    ours = np.array(result["after"]["returns"])
    policy = Policy(file)
    theirs = policy.play(range(first_seed, first_seed + len(ours)))
    evaluation_seed = result["after"]["seed"]
    again = policy.play(range(evaluation_seed, evaluation_seed + len(ours)))
    same = int(np.sum(np.isclose(again, ours, rtol=1e-6, atol=1e-6)))
    return (
        f"| {policy.environment['id']} | {policy.algorithm}, {result['progress']['steps']} steps | {spread(ours)} | "
        f"{spread(theirs)} | {p_value(ours, theirs):.2f} | {same} of {len(ours)} |"
    )


class Policy:
    """A policy.safetensors that acts greedily."""

    def __init__(self, file):
        self.network, settings = load(file)
        self.environment = settings["environment"]
        self.algorithm = settings["agent"]["training"]["algorithm"]["name"]
        self.head = settings["agent"]["policy"]["head"]
        self.dtype = next(self.network.parameters()).dtype
        with safe_open(file, framework="np") as tensors:
            named = {name: tensors.get_tensor(name) for name in tensors.keys()}
        # Absent where observations are not normalised.
        self.mean, self.variance = named.get("observations.mean"), named.get("observations.variance")
        # Present where actions are squashed by tanh, as SAC's and TD3's.
        self.low, self.high = named.get("action_low"), named.get("action_high")
        # State-dependent exploration keeps their means within bounds.
        self.clip_mean = 2.0 if "log_std" in named else np.inf

    def act(self, observation, space):
        if self.mean is not None:
            scaled = (observation.astype(np.float64) - self.mean) / np.sqrt(self.variance + 1e-8)
            observation = np.clip(scaled, -10.0, 10.0).astype(np.float32)
        with torch.no_grad():
            outputs = self.network(torch.from_numpy(observation).to(self.dtype)).numpy()
        if isinstance(space, gym.spaces.Discrete):
            if self.head == "sigmoid":
                return 0 if outputs[0] >= 0 else 1
            return int(np.argmax(outputs[: space.n]))
        outputs = outputs[: space.shape[0]]
        if self.low is not None:
            outputs = np.clip(outputs, -self.clip_mean, self.clip_mean)
            outputs = self.low + 0.5 * (np.tanh(outputs) + 1.0) * (self.high - self.low)
        return np.clip(outputs.astype(np.float32), space.low, space.high)

    def play(self, seeds):
        """The return of the episode of each seed, each in an environment of its own."""
        return np.array([self.episode(seed) for seed in seeds])

    def episode(self, seed):
        options = self.environment.get("options", {})
        limit = {}
        if self.environment.get("max_episode_steps"):
            limit["max_episode_steps"] = self.environment["max_episode_steps"]
        env = gym.make(self.environment["id"], **limit, **options)
        observation, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            action = self.act(observation, env.action_space)
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            done = terminated or truncated
        env.close()
        return total


def spread(values):
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def p_value(x, y):
    """Of a two-sided permutation test of equal means."""
    rng = np.random.default_rng(0)
    pooled = np.concatenate([x, y])
    observed = abs(x.mean() - y.mean())
    extreme = 0
    for _ in range(PERMUTATIONS):
        rng.shuffle(pooled)
        # Sums in another order differ in their last bits.
        extreme += abs(pooled[: len(x)].mean() - pooled[len(x) :].mean()) >= observed - 1e-9
    return (extreme + 1) / (PERMUTATIONS + 1)


if __name__ == "__main__":
    main()
