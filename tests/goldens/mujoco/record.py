"""Records fingerprints.json from Gymnasium 1.1.1 with MuJoCo 3.17.0 (NumPy 2).

A fingerprint is the SHA-256 of everything that was observed in 250 steps: observations and rewards as float64, flags as
bytes, then every number of `info` as float64 in the order of its names, and the observations after resets. Actions are
uniform draws from numpy.random.default_rng(seed + 77), held for `hold` steps each. Paths begin in the checkout.

    python tests/goldens/mujoco/record.py > tests/goldens/mujoco/fingerprints.json
"""

import hashlib
import json

import gymnasium as gym
import numpy as np

INF = float("inf")
UNSTABLE = "./tests/goldens/mujoco/unstable.xml"
RUNS = [
    ("Reacher-v5", {}, 100, 500, 1),
    ("Reacher-v5", {"reward_dist_weight": 2.5, "reward_control_weight": 0.3, "frame_skip": 3}, 101, 500, 5),
    ("Reacher-v4", {}, 102, 500, 1),
    ("Pusher-v5", {}, 110, 500, 5),
    ("Pusher-v5", {"reward_near_weight": 0.1, "reward_dist_weight": 3, "reward_control_weight": 0.7}, 111, 500, 1),
    ("InvertedPendulum-v5", {}, 120, 1000, 1),
    ("InvertedPendulum-v5", {"reset_noise_scale": 0.1, "frame_skip": 1}, 121, 500, 2),
    ("InvertedPendulum-v4", {}, 122, 500, 1),
    ("InvertedDoublePendulum-v5", {}, 130, 1000, 1),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 3.5, "reset_noise_scale": 0.4}, 131, 500, 1),
    ("InvertedDoublePendulum-v4", {}, 132, 500, 3),
    ("HalfCheetah-v5", {}, 140, 1250, 1),
    (
        "HalfCheetah-v5",
        {
            "forward_reward_weight": 0.3,
            "ctrl_cost_weight": 0.7,
            "reset_noise_scale": 0.5,
            "exclude_current_positions_from_observation": False,
            "frame_skip": 2,
        },
        141,
        500,
        10,
    ),
    ("HalfCheetah-v5", {"xml_file": UNSTABLE}, 142, 500, 20),
    ("HalfCheetah-v4", {}, 143, 1250, 4),
    ("Hopper-v5", {}, 150, 1000, 1),
    (
        "Hopper-v5",
        {
            "terminate_when_unhealthy": False,
            "healthy_reward": 2.5,
            "healthy_z_range": [0.9, INF],
            "healthy_angle_range": [-0.1, 0.15],
            "healthy_state_range": [-5, 5],
            "exclude_current_positions_from_observation": False,
        },
        151,
        1250,
        4,
    ),
    ("Hopper-v4", {"terminate_when_unhealthy": False, "reset_noise_scale": 0.05}, 152, 1000, 2),
    ("Swimmer-v5", {}, 160, 1250, 4),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.25}, 161, 500, 1),
    ("Swimmer-v4", {"forward_reward_weight": 0.1}, 162, 500, 1),
    ("Walker2d-v5", {}, 170, 1000, 1),
    ("Walker2d-v5", {"terminate_when_unhealthy": False, "healthy_z_range": [1.0, 1.4]}, 171, 1250, 5),
    ("Walker2d-v4", {"terminate_when_unhealthy": False}, 172, 500, 5),
    ("Ant-v5", {}, 180, 1000, 1),
    (
        "Ant-v5",
        {
            "terminate_when_unhealthy": False,
            "main_body": "torso",
            "contact_force_range": [-20.0, 0.5],
            "contact_cost_weight": 0.01,
            "include_cfrc_ext_in_observation": False,
            "exclude_current_positions_from_observation": False,
        },
        181,
        1250,
        5,
    ),
    ("Ant-v5", {"main_body": 4, "healthy_z_range": [0.4, 0.9]}, 182, 500, 2),
    ("Ant-v4", {}, 183, 500, 5),
    ("Ant-v4", {"use_contact_forces": True, "xml_file": "ant.xml"}, 184, 500, 5),
    ("Humanoid-v5", {}, 190, 1000, 1),
    (
        "Humanoid-v5",
        {
            "terminate_when_unhealthy": False,
            "contact_cost_weight": 1e-4,
            "contact_cost_range": [0.05, 3.0],
            "include_cinert_in_observation": False,
            "include_cvel_in_observation": False,
            "include_qfrc_actuator_in_observation": False,
            "include_cfrc_ext_in_observation": False,
            "exclude_current_positions_from_observation": False,
        },
        191,
        1250,
        5,
    ),
    ("Humanoid-v4", {}, 192, 500, 3),
    ("HumanoidStandup-v5", {}, 195, 1250, 5),
    ("HumanoidStandup-v5", {"impact_cost_range": [-INF, 1.0], "include_cvel_in_observation": False}, 196, 500, 5),
    ("HumanoidStandup-v4", {}, 197, 500, 5),
]


def numbers(info):
    for name in sorted(info):
        yield from np.asarray(info[name], dtype="<f8").ravel()


def run(env_id, kwargs, seed, steps, hold):
    env = gym.make(env_id, **kwargs)
    rng = np.random.default_rng(seed + 77)
    digest = hashlib.sha256()

    def see(observation, info):
        digest.update(np.asarray(observation, dtype="<f8").tobytes())
        digest.update(np.array(list(numbers(info)), dtype="<f8").tobytes())

    see(*env.reset(seed=seed))
    chunks = []
    resets = 0
    for k in range(steps):
        if k % hold == 0:
            action = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        see(observation, info)
        digest.update(np.float64(reward).tobytes() + bytes([terminated, truncated]))
        if terminated or truncated:
            see(*env.reset())
            resets += 1
        if (k + 1) % 250 == 0:
            chunks.append(digest.hexdigest()[:16])
            digest = hashlib.sha256()
    options = {
        name: [str(x) if abs(x) == INF else x for x in value] if isinstance(value, list) else value
        for name, value in kwargs.items()
    }
    return {"env_id": env_id, "options": options, "seed": seed, "hold": hold, "resets": resets, "chunks": chunks}


print("[\n" + ",\n".join(json.dumps(run(*args)) for args in RUNS) + "\n]")
