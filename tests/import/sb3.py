"""PPO by Stable-Baselines3, with all that it logs: `sb3.py FOLDER SEED LEARNING_RATE`."""

import sys

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor

STEPS = 8000

torch.set_num_threads(1)
root, seed, learning_rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
folder = f"{root}/ppo/{seed}"
envs = make_vec_env("CartPole-v1", n_envs=2, seed=seed, monitor_dir=folder)
evaluation = EvalCallback(
    Monitor(gym.make("CartPole-v1")), eval_freq=STEPS // 16, n_eval_episodes=5, log_path=folder, verbose=0
)
model = PPO(
    "MlpPolicy",
    envs,
    n_steps=32,
    batch_size=256,
    gae_lambda=0.8,
    gamma=0.98,
    n_epochs=20,
    learning_rate=learning_rate,
    seed=seed,
    tensorboard_log=f"{root}/tb",
    device="cpu",
)
model.learn(STEPS, callback=evaluation, tb_log_name="ppo")
