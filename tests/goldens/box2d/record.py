"""Records fingerprints.json from Gymnasium 1.1.1 with box2d-py 2.3.5 (NumPy 2).

A fingerprint is the SHA-256 of everything that was observed in 250 steps: observations as float32, rewards as
float64, flags as bytes, and the observations after resets. Actions are uniform draws from
numpy.random.default_rng(seed + 77), held for `hold` steps each. CarRacing's observations are left out (pixels
come from another rasteriser); the car's pose and velocities stand in for them.

    python record.py > fingerprints.json
"""

import hashlib
import json

import gymnasium as gym
import numpy as np

RUNS = [
    ("LunarLander-v3", {}, 100, 3000, 1),
    ("LunarLander-v3", {}, 101, 3000, 20),
    ("LunarLander-v3", {"enable_wind": True, "wind_power": 20.0, "turbulence_power": 2.0, "gravity": -3.7}, 120, 3000, 1),
    ("LunarLanderContinuous-v3", {}, 130, 3000, 1),
    ("LunarLanderContinuous-v3", {"enable_wind": True}, 131, 3000, 9),
    ("BipedalWalker-v3", {}, 200, 3000, 1),
    ("BipedalWalker-v3", {}, 210, 3000, 25),
    ("BipedalWalkerHardcore-v3", {}, 301, 3000, 1),
    ("BipedalWalkerHardcore-v3", {}, 323, 3000, 25),
    ("CarRacing-v3", {}, 400, 500, 10),
    ("CarRacing-v3", {"continuous": False}, 430, 500, 5),
    ("CarRacing-v3", {"domain_randomize": True, "lap_complete_percent": 0.5}, 440, 500, 10),
]


def seen(env, observation):
    if observation.dtype == np.uint8:
        hull = env.unwrapped.car.hull
        observation = [*hull.position, hull.angle, *hull.linearVelocity, hull.angularVelocity]
    return np.asarray(observation, dtype="<f4").tobytes()


def run(env_id, kwargs, seed, steps, hold):
    env = gym.make(env_id, **kwargs)
    rng = np.random.default_rng(seed + 77)
    observation, _ = env.reset(seed=seed)
    digest = hashlib.sha256(seen(env, observation))
    chunks = []
    resets = 0
    for k in range(steps):
        space = env.action_space
        if k % hold == 0:
            if hasattr(space, "n"):
                action = int(rng.integers(space.n))
            else:
                action = rng.uniform(space.low, space.high).astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        digest.update(seen(env, observation))
        digest.update(np.float64(reward).tobytes() + bytes([terminated, truncated]))
        if terminated or truncated:
            observation, _ = env.reset()
            digest.update(seen(env, observation))
            resets += 1
        if (k + 1) % 250 == 0:
            chunks.append(digest.hexdigest()[:16])
            digest = hashlib.sha256()
    return {
        "env_id": env_id,
        "options": kwargs,
        "seed": seed,
        "hold": hold,
        "resets": resets,
        "chunks": chunks,
    }


print(json.dumps([run(*args) for args in RUNS], indent=1))
