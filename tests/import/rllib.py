"""PPO by RLlib in three trials of Ray Tune: `rllib.py FOLDER`."""

import sys

import ray
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig

ray.init(num_cpus=2, include_dashboard=False)
config = (
    PPOConfig()
    .environment("CartPole-v1")
    .env_runners(num_env_runners=0)
    .training(train_batch_size=1000, minibatch_size=128, num_epochs=5)
    .evaluation(evaluation_interval=3, evaluation_duration=5, evaluation_num_env_runners=0)
    .debugging(seed=tune.grid_search([1, 2, 3]))
)
tune.Tuner(
    "PPO",
    param_space=config,
    run_config=tune.RunConfig(stop={"training_iteration": 8}, storage_path=sys.argv[1], name="rllib"),
    tune_config=tune.TuneConfig(max_concurrent_trials=1),
).fit()
