"""PPO of Stable-Baselines3, reported to rushes."""
import rushes_trainer
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

torch.set_num_threads(1)  # rushes runs a trial on each core

# Stable-Baselines3 saves weights, optimiser and steps, but neither its environments nor its random numbers: a resumed
# training goes on, and is not the one that it would have been.
with rushes_trainer.start(f"stable-baselines3 {stable_baselines3.__version__}", resumable=True) as run:
    settings = dict(run.settings)
    envs = make_vec_env(run.make_env, n_envs=settings.pop("n_envs"), seed=run.seed)
    if run.resume:
        model = PPO.load(run.resume["path"], envs, device="cpu")
    else:
        model = PPO("MlpPolicy", envs, seed=run.seed, device="cpu", **settings)
        run.film(run.sb3_policy(model), "before")
        run.evaluate(run.sb3_policy(model), "before")
    left = run.schedule["steps"] - run.steps
    model.learn(left, callback=run.sb3_callback(), reset_num_timesteps=False)

    run.evaluate(run.sb3_policy(model))
    run.film(run.sb3_policy(model))
    model.save(run.directory / "model.zip")
    run.policy(run.directory / "model.zip")
