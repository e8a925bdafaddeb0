"""Trainings that learn, and faults to plant into them: short enough for twenty seeds of each."""


def network(*hidden, **settings):
    return {"type": "neural", "hidden": list(hidden), **settings}


def agent(policy, schedule, **algorithm):
    return {"policy": policy, "training": {"algorithm": algorithm, "schedule": schedule}}


TANH = network(64, 64, activation="tanh")

# By name: the environment, and the agent.
HEALTHY = {
    "ppo CartPole-v1": agent(
        TANH,
        {"steps": 50_000},
        name="ppo",
        n_envs=8,
        n_steps=32,
        batch_size=256,
        n_epochs=20,
        learning_rate={"linear": 0.001},
        clip_range={"linear": 0.2},
        gamma=0.98,
        gae_lambda=0.8,
    ),
    "ppo Acrobot-v1": agent(
        TANH,
        {"steps": 150_000},
        name="ppo",
        n_envs=16,
        n_steps=256,
        batch_size=64,
        n_epochs=4,
        gamma=0.99,
        gae_lambda=0.94,
        normalize_observations=True,
        normalize_rewards=True,
    ),
    "ppo MountainCar-v0": agent(
        TANH,
        {"steps": 300_000},
        name="ppo",
        n_envs=16,
        n_steps=128,
        batch_size=256,
        n_epochs=10,
        learning_rate={"linear": 0.001},
        gamma=0.99,
        gae_lambda=0.98,
        normalize_observations=True,
        normalize_rewards=True,
    ),
    "a2c CartPole-v1": agent(TANH, {"steps": 200_000, "log_every": {"steps": 1000}}, name="a2c", n_envs=8),
    "dqn CartPole-v1": agent(
        network(128, 128),
        {"steps": 60_000, "log_every": {"steps": 1000}},
        name="dqn",
        n_envs=8,
        learning_rate={"linear": 0.001},
        buffer_size=100_000,
        learning_starts=1000,
        batch_size=128,
        gamma=0.98,
        train_freq=1,
        gradient_steps=4,
        target_update_interval=500,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        double_q=True,
        n_steps=3,
    ),
    "sac Pendulum-v1": agent(
        network(64, 64), {"steps": 5_000, "log_every": 100}, name="sac", learning_rate=0.001
    ),
    "td3 Pendulum-v1": agent(
        network(64, 64),
        {"steps": 8_000, "log_every": 100},
        name="td3",
        learning_rate=0.001,
        gamma=0.98,
        learning_starts=500,
        action_noise={"normal": 0.1},
    ),
    "reinforce CartPole-v1": agent(
        network(16, 32, activation="tanh"), {"episodes": 400}, name="reinforce", learning_rate=0.003, episodes_per_update=4
    ),
}

# A fault: its name, the findings that explain it, and what it changes by the training that it is planted in. What begins
# with a dot is a part of the experiment, all else a hyperparameter.
FAULTS = [
    (
        "step size × 300",
        {"policy-jumps", "entropy-gone"},
        {
            "ppo CartPole-v1": {"learning_rate": 0.3},
            "ppo Acrobot-v1": {"learning_rate": 0.1},
            "ppo MountainCar-v0": {"learning_rate": 0.3},
            "a2c CartPole-v1": {"learning_rate": 0.2},
        },
    ),
    (
        "step size ÷ 10,000",
        {"weights-at-rest"},
        {
            "ppo CartPole-v1": {"learning_rate": 1e-7},
            "ppo Acrobot-v1": {"learning_rate": 3e-8},
            "a2c CartPole-v1": {"learning_rate": 7e-8},
            "dqn CartPole-v1": {"learning_rate": 1e-7},
            "sac Pendulum-v1": {"learning_rate": 1e-7},
            "td3 Pendulum-v1": {"learning_rate": 1e-7},
        },
    ),
    (
        "far too much weight on entropy",
        {"entropy-kept"},
        {
            "ppo CartPole-v1": {"ent_coef": 10.0},
            "ppo Acrobot-v1": {"ent_coef": 10.0},
            "ppo MountainCar-v0": {"ent_coef": 10.0},
            "a2c CartPole-v1": {"ent_coef": 100.0},
            "sac Pendulum-v1": {"ent_coef": 1000.0},
        },
    ),
    (
        "rewards × 10,000",
        {"reward-scale"},
        {
            "ppo CartPole-v1": {".reward_scale": 1e4},
            "a2c CartPole-v1": {".reward_scale": 1e4},
            "dqn CartPole-v1": {".reward_scale": 1e4},
            "sac Pendulum-v1": {".reward_scale": 1e4},
            "td3 Pendulum-v1": {".reward_scale": 1e4},
        },
    ),
    (
        "rewards ÷ 10,000,000",
        {"reward-scale"},
        {
            "sac Pendulum-v1": {".reward_scale": 1e-7, "ent_coef": 0.01},
            "dqn CartPole-v1": {".reward_scale": 1e-7},
        },
    ),
    (
        "a replay memory of 100 steps",
        {"replay-short"},
        {
            "td3 Pendulum-v1": {"buffer_size": 100},
        },
    ),
    (
        "targets that stand still",
        {"target-at-rest"},
        {
            "dqn CartPole-v1": {"target_update_interval": 10**7},
            "sac Pendulum-v1": {"tau": 1e-6},
            "td3 Pendulum-v1": {"tau": 1e-6},
        },
    ),
    (
        "a horizon of two steps (γ = 0.5)",
        {"horizon-short"},
        {
            "ppo Acrobot-v1": {"gamma": 0.5},
            "ppo MountainCar-v0": {"gamma": 0.5},
            "sac Pendulum-v1": {"gamma": 0.5},
            "td3 Pendulum-v1": {"gamma": 0.5},
        },
    ),
    (
        "a schedule that is too short",
        {"still-rising"},
        {
            "ppo CartPole-v1": {".steps": 6_000},
            "a2c CartPole-v1": {".steps": 12_000},
            "dqn CartPole-v1": {".steps": 10_000},
        },
    ),
    (
        "hardly an update",
        {"few-updates"},
        {
            "ppo CartPole-v1": {"n_steps": 3000},
            "ppo Acrobot-v1": {"n_steps": 9000, "n_epochs": 1},
            "a2c CartPole-v1": {"n_steps": 12_000},
            "dqn CartPole-v1": {"learning_starts": 59_990},
            "sac Pendulum-v1": {"learning_starts": 4_995},
            "td3 Pendulum-v1": {"learning_starts": 7_995},
        },
    ),
    (
        "no exploration",
        {"only-time-limit"},
        {
            "ppo MountainCar-v0": {"normalize_observations": False, "normalize_rewards": False},
        },
    ),
    (
        "values that feed on themselves",
        {"values-exploding"},
        {
            "dqn CartPole-v1": {
                "learning_rate": 0.006,
                "target_update_interval": 1,
                "gamma": 0.999,
                "double_q": False,
                "max_grad_norm": 1e6,
            },
        },
    ),
    (
        "no clipping and many epochs",
        {"policy-jumps"},
        {
            "ppo CartPole-v1": {"clip_range": 100.0, "n_epochs": 100, "learning_rate": 0.01},
            "ppo Acrobot-v1": {"clip_range": 100.0, "n_epochs": 40, "learning_rate": 0.01},
            "ppo MountainCar-v0": {"clip_range": 100.0, "n_epochs": 40, "learning_rate": 0.01},
        },
    ),
]
