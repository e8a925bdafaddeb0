"""REINFORCE on CartPole-v1 the way a PyTorch tutorial writes it: the peer of t1.json.

One episode per update, float64, returns discounted and normalised per episode, Adam. The seconds are the
processor's. Prints one JSON line.
"""

import argparse
import json
import time

import gymnasium as gym
import torch
from torch import nn
from torch.distributions import Categorical


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    env = gym.make("CartPole-v1")
    env.reset(seed=arguments.seed)
    policy = nn.Sequential(
        nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2), nn.Softmax(dim=-1)
    ).double()
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)

    steps, returns = 0, []
    start = time.process_time()
    while steps < arguments.steps:
        log_probs, rewards = play(env, policy, arguments.steps - steps)
        update(optimizer, log_probs, rewards)
        steps += len(rewards)
        returns.append(sum(rewards))
    seconds = time.process_time() - start
    print(
        json.dumps(
            {
                "steps": steps,
                "seconds": seconds,
                "steps_per_second": steps / seconds,
                "episodes": len(returns),
                "mean_return": sum(returns) / len(returns),
            }
        )
    )


def play(env, policy, most_steps):
    log_probs, rewards = [], []
    observation, _ = env.reset()
    done = False
    while not done and len(rewards) < most_steps:
        distribution = Categorical(policy(torch.from_numpy(observation).double()))
        action = distribution.sample()
        log_probs.append(distribution.log_prob(action))
        observation, reward, terminated, truncated, _ = env.step(action.item())
        rewards.append(reward)
        done = terminated or truncated
    return log_probs, rewards


def update(optimizer, log_probs, rewards, discount=0.99):
    returns, following = [], 0.0
    for reward in reversed(rewards):
        following = reward + discount * following
        returns.append(following)
    returns = torch.tensor(returns[::-1], dtype=torch.float64)
    if len(returns) > 1:  # the cut at --steps may leave an episode of one step, which has no deviation
        returns = (returns - returns.mean()) / (returns.std() + 1e-9)
    loss = -(torch.stack(log_probs) * returns).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    main()
