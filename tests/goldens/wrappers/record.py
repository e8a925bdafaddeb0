"""Records the wrappers of other packages: `python record.py` writes *.json beside this file, Gymnasium's own with gymnasium
1.1.1; `python record.py history`, with rl_zoo3 2.9, the history of RL Baselines3 Zoo.

Each file holds a seed, actions and, for the reset and every step, what the wrapped environment yielded. Where an episode
ends, the environment is reset without a seed and the observation of that is a step without an action.
"""

import json
import pathlib
import sys

import gymnasium as gym
import numpy as np
from gymnasium import wrappers


def record(name, env_id, wrap, steps, observed=True, **arguments):
    env = wrap(gym.make(env_id, **arguments))
    choices = np.random.default_rng(1)
    observation, _ = env.reset(seed=7)

    def seen(observation):
        return np.asarray(observation, dtype=np.float32).ravel().tolist() if observed else None

    rows = [{"observation": seen(observation)}]
    for _ in range(steps):
        if isinstance(env.action_space, gym.spaces.Box):
            action = choices.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        else:
            action = int(choices.integers(env.action_space.n))
        observation, reward, terminated, truncated, _ = env.step(action)
        rows.append({
            "action": np.asarray(action).tolist(),
            "observation": seen(observation),
            "reward": float(reward),
            "terminated": bool(terminated),
            "truncated": bool(truncated),
        })
        if terminated or truncated:
            observation, _ = env.reset()
            rows.append({"observation": seen(observation)})
    golden = {"gymnasium": gym.__version__, "id": env_id, "seed": 7, "rows": rows}
    text = json.dumps(golden).replace('{"action', '\n{"action').replace('{"observation', '\n{"observation')
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(text + "\n")


def time_aware(env):
    return wrappers.TimeAwareObservation(env, flatten=True, normalize_time=True)


def stacked(env):
    return wrappers.FrameStackObservation(env, 3, padding_type="reset")


if sys.argv[1:] == ["history"]:
    from rl_zoo3.wrappers import HistoryWrapper

    record("history", "Pendulum-v1", lambda env: HistoryWrapper(env, 3), 40, max_episode_steps=25)
    sys.exit()
record("frame-stack", "CartPole-v1", stacked, 60)
record("frame-stack-discrete", "Taxi-v3", stacked, 30)
record("time-awareness", "CartPole-v1", time_aware, 40, max_episode_steps=25)
record("frame-stack-rewards-clipped", "Acrobot-v1", lambda env: stacked(wrappers.ClipReward(
    wrappers.TransformReward(env, lambda reward: 0.5 * reward), -0.25, 0.25)), 20)
record("frame-skip", "CartPole-v1", lambda env: wrappers.MaxAndSkipObservation(env, 4), 30, observed=False,
       max_episode_steps=18)
