//! What other programs call our fields, for messages about names that nobody knows here.

/// Names for one thing: Stable-Baselines3's, CleanRL's, RLlib's, Keras' and the papers'. Those that differ only in
/// spelling (`normalise`, `normalize`) are near enough to be found without.
const SYNONYMS: &[&[&str]] = &[
    &["environment", "env", "task"],
    &["id", "env_id", "env", "env_name", "environment_id"],
    &["options", "kwargs", "env_kwargs", "env_config"],
    &["max_episode_steps", "time_limit", "max_steps", "horizon"],
    &["agents", "policies", "algorithms", "models"],
    &["seeds", "n_seeds", "num_seeds"],
    &["algorithm", "algo", "trainer"],
    &["hidden", "net_arch", "hidden_sizes", "hidden_layers", "fcnet_hiddens", "layers", "units"],
    &["activation", "activation_fn", "fcnet_activation"],
    &["precision", "dtype"],
    &["dropout", "dropout_rate"],
    &["kernel", "kernel_size"],
    &["stack", "frame_stack", "n_stack", "num_stack", "stack_size"],
    &["frame_skip", "action_repeat", "frameskip"],
    &["sticky_actions", "repeat_action_probability"],
    &["learning_rate", "lr", "step_size", "stepsize"],
    &["discount", "gamma", "discount_factor"],
    &["adam_epsilon", "adam_eps", "eps"],
    &["n_envs", "num_envs", "num_workers", "num_env_runners"],
    &["n_steps", "num_steps", "rollout_fragment_length", "n_step", "rollout_steps"],
    &["n_epochs", "update_epochs", "num_epochs", "num_sgd_iter", "epochs"],
    &["batch_size", "minibatch_size", "mini_batch_size", "sgd_minibatch_size"],
    &["gae_lambda", "lambda", "lambda_", "lam"],
    &["clip_range", "clip_coef", "clip_param", "clip_ratio"],
    &["clip_range_vf", "vf_clip_param"],
    &["normalize_advantage", "norm_adv", "standardize_advantages", "advantage_normalization"],
    &["ent_coef", "entropy_coeff", "entropy_coef", "entropy_cost", "alpha"],
    &["vf_coef", "vf_loss_coeff", "value_loss_coef", "value_coef"],
    &["max_grad_norm", "grad_clip", "clip_grad_norm", "gradient_clip", "gradient_clipping"],
    &["target_kl", "kl_target"],
    &["shared_trunk", "vf_share_layers"],
    &["buffer_size", "replay_size", "memory_size", "replay_buffer_size", "replay_capacity"],
    &["learning_starts", "start_steps", "random_steps", "warmup_steps", "start_timesteps"],
    &["train_freq", "train_frequency", "update_every"],
    &["gradient_steps", "utd_ratio", "updates_per_step"],
    &["target_update_interval", "target_network_frequency", "target_network_update_freq"],
    &["tau", "polyak", "target_smoothing"],
    &["exploration_fraction", "eps_decay", "epsilon_decay"],
    &["exploration_initial_eps", "start_e", "eps_start", "epsilon_start"],
    &["exploration_final_eps", "end_e", "eps_end", "epsilon_end", "epsilon_min"],
    &["policy_delay", "policy_frequency", "policy_freq", "actor_delay"],
    &["target_policy_noise", "policy_noise"],
    &["target_noise_clip", "noise_clip"],
    &["population_size", "pop_size", "popsize"],
    &["sigma", "noise_std", "noise_stdev", "noise_deviation"],
    &["weight_decay", "l2", "l2_coeff", "l2_regularization"],
    &["steps", "total_timesteps", "total_steps", "timesteps", "n_timesteps", "max_steps"],
    &[
        "episodes",
        "num_episodes",
        "n_episodes",
        "max_episodes",
        "n_eval_episodes",
        "total_episodes",
    ],
    &["updates", "num_updates", "iterations", "num_iterations", "training_iteration"],
    &["mean_return", "mean_reward", "reward_threshold", "episode_reward_mean"],
    &["evaluate_every", "eval_freq", "eval_frequency", "evaluation_interval", "eval_every"],
    &["checkpoint_every", "save_freq", "save_frequency", "checkpoint_freq", "save_every"],
    &["record_every", "video_interval", "video_length", "video_freq", "render_freq"],
    &["samples", "num_samples", "n_trials"],
    &["parameters", "param_space", "search_space"],
    &["sampler", "search_alg"],
];

/// Our name for what others call `name`, where one of `known` means the same.
pub(super) fn synonym<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_lowercase();
    let meaning = |group: &&&[&str]| group.contains(&name.as_str());
    SYNONYMS
        .iter()
        .filter(meaning)
        .find_map(|group| known.iter().copied().find(|known| group.contains(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_programs_are_known_where_the_thing_is() {
        let ppo = ["learning_rate", "gamma", "gae_lambda", "n_envs", "clip_range"];
        for (theirs, ours) in [
            ("lr", Some("learning_rate")),
            ("LR", Some("learning_rate")),
            ("discount", Some("gamma")),
            ("lambda", Some("gae_lambda")),
            ("num_envs", Some("n_envs")),
            ("clip_coef", Some("clip_range")),
            ("tau", None),
            ("total_timesteps", None),
        ] {
            assert_eq!(synonym(theirs, &ppo), ours, "{theirs}");
        }
        assert_eq!(synonym("gamma", &["discount"]), Some("discount"));
    }

    /// A field that was renamed leaves no group behind that leads nowhere.
    #[test]
    fn every_group_has_a_field_of_the_schema() {
        let schema = crate::validation::schema().to_string();
        for group in SYNONYMS {
            let found = group.iter().any(|name| schema.contains(&format!("\"{name}\":")));
            assert!(found, "no field is called {group:?}");
        }
    }
}
