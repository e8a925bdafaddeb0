"""Has Minari itself write a dataset of Pendulum into FOLDER, and prints where, with what it wrote: write_dataset.py FOLDER."""

import json
import os
import sys

os.environ["MINARI_DATASETS_PATH"] = sys.argv[1]

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

env = gym.make("Pendulum-v1", max_episode_steps=5)
choices = np.random.default_rng(1)
buffers = []
for seed in range(3):
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards, truncations = [observation], [], [], []
    while not (truncations and truncations[-1]):
        action = choices.uniform(-2, 2, size=1).astype(np.float32)
        observation, reward, _, truncated, _ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
        truncations.append(bool(truncated))
    buffers.append(EpisodeBuffer(
        id=seed, seed=seed, observations=np.array(observations), actions=np.array(actions), rewards=rewards,
        terminations=[False] * len(rewards), truncations=truncations))
minari.create_dataset_from_buffers(
    "test/pendulum-v0", buffer=buffers, env=env, data_format="parquet", eval_env=None)
written = {
    "folder": os.path.join(sys.argv[1], "test", "pendulum-v0"),
    "observations": [buffer.observations.ravel().tolist() for buffer in buffers],
    "actions": [buffer.actions.ravel().tolist() for buffer in buffers],
    "rewards": [buffer.rewards for buffer in buffers],
}
print(json.dumps(written))
