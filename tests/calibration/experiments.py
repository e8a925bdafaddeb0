"""The experiments whose unchanged reruns the gate is tried on: short enough for hundreds of trainings."""


def network(*hidden, **settings):
    return {"type": "neural", "hidden": list(hidden), **settings}


def experiment(environment, agent, **settings):
    return {
        "environment": {"id": environment},
        "agents": {"random": {"policy": {"type": "random"}}, "learner": agent},
        "evaluation": {"episodes": 20},
        "recording": {"before": False, "after": False},
        **settings,
    }


def learner(policy, algorithm, **schedule):
    return {"policy": policy, "training": {"algorithm": algorithm, "schedule": schedule}}


EXPERIMENTS = {
    "ppo-cartpole": experiment(
        "CartPole-v1",
        learner(
            network(64, 64, activation="tanh"),
            {
                "name": "ppo",
                "n_envs": 8,
                "n_steps": 32,
                "batch_size": 256,
                "n_epochs": 20,
                "learning_rate": {"linear": 0.001},
                "clip_range": {"linear": 0.2},
                "gamma": 0.98,
                "gae_lambda": 0.8,
            },
            steps=30_000,
        ),
    ),
    "ppo-lunar-lander": experiment(
        "LunarLander-v3",
        learner(
            network(64, 64, activation="tanh"),
            {
                "name": "ppo",
                "n_envs": 16,
                "n_steps": 256,
                "batch_size": 64,
                "n_epochs": 4,
                "gamma": 0.999,
                "gae_lambda": 0.98,
                "ent_coef": 0.01,
            },
            steps=40_000,
        ),
    ),
    "q-learning-taxi": experiment(
        "Taxi-v3",
        learner(
            {"type": "tabular"},
            {
                "name": "q_learning",
                "learning_rate": {"linear": 0.5, "to": 0.1},
                "gamma": 0.99,
                "epsilon": {"linear": 1.0, "to": 0.05},
            },
            steps=200_000,
            log_every={"episodes": 1000},
        ),
    ),
    "sac-pendulum": experiment(
        "Pendulum-v1",
        learner(network(64, 64), {"name": "sac", "learning_rate": 0.001}, steps=4_000, log_every=500),
    ),
}
