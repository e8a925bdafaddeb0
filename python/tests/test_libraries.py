"""Libraries that train on our environments unchanged; where one is not installed, its test is skipped."""

import gymnasium
import pytest

import rushes  # noqa: F401, registers the environments


def test_stable_baselines3_trains_as_on_gymnasiums():
    """Equal environments and seeds give equal policies, so equal returns."""
    sb3 = pytest.importorskip("stable_baselines3")

    def returns(id):
        model = sb3.PPO("MlpPolicy", gymnasium.make(id), seed=3, n_steps=256, device="cpu").learn(1024)
        env, total = gymnasium.make(id), []
        for seed in range(5):
            (observation, _), over = env.reset(seed=seed), False
            total.append(0.0)
            while not over:
                action, _ = model.predict(observation, deterministic=True)
                observation, reward, terminated, truncated, _ = env.step(action)
                total[-1] += reward
                over = terminated or truncated
        return total

    assert returns("rushes/CartPole-v1") == returns("CartPole-v1")
