//! Recurrent PPO: proximal policy optimisation with networks that remember, LSTM or GRU, with the hyperparameters of
//! Stable-Baselines3's contrib package.
//!
//! It is PPO in environments that do not show all of their state. Each copy of the environment has states of actor and critic,
//! which go on from one rollout to the next and are zeros where an episode begins. Minibatches are not of single steps but of
//! the steps of a copy one after another: gradients go back through time to where a minibatch, a rollout or an episode begins,
//! and the state there is the one that the policy had when it acted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, has_head};
use super::ppo::PpoSpec;
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::training::Annealed;

/// Hyperparameters of recurrent PPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RecurrentPpoSpec {
    /// How many copies of the environment act side by side.
    #[schemars(range(min = 1, max = 4096))]
    pub n_envs: usize,
    /// Steps in each environment between two updates; no gradient goes further back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub n_steps: usize,
    /// Steps in a minibatch, those of an environment one after another.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// How often an update goes over its steps.
    #[schemars(range(min = 1, max = 1000))]
    pub n_epochs: usize,
    /// Step size of Adam.
    pub learning_rate: Annealed,
    /// Added to Adam's denominator.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub adam_epsilon: f64,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Trace decay of generalised advantage estimation.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gae_lambda: f64,
    /// How far an action's probability may move, as a ratio, before nothing more is gained.
    pub clip_range: Annealed,
    /// How far a value may move from the old one; `null` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_range_vf: Option<Annealed>,
    /// Whether each minibatch's advantages are shifted and scaled to mean 0 and deviation 1.
    pub normalize_advantage: bool,
    /// Weight of the entropy bonus.
    #[schemars(range(min = 0.0))]
    pub ent_coef: f64,
    /// Weight of the value loss.
    #[schemars(range(min = 0.0))]
    pub vf_coef: f64,
    /// The gradient's norm is cut to this.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub max_grad_norm: f64,
    /// An update stops early when `approx_kl` exceeds 1.5 times this; `null` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub target_kl: Option<f64>,
    /// Whether actor and critic share their recurrent and hidden layers.
    pub shared_trunk: bool,
    /// Initial logarithm of the standard deviations of continuous actions.
    pub log_std_init: f64,
    /// Normalise observations (the numbers of boxes in them) by their running mean and deviation, cut to ±10.
    pub normalize_observations: bool,
    /// Divide rewards by the running deviation of the discounted return, cut to ±10.
    pub normalize_rewards: bool,
}

impl Default for RecurrentPpoSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            n_steps: 128,
            batch_size: 128,
            n_epochs: 10,
            learning_rate: Annealed::Constant(3e-4),
            adam_epsilon: 1e-5,
            gamma: 0.99,
            gae_lambda: 0.95,
            clip_range: Annealed::Constant(0.2),
            clip_range_vf: None,
            normalize_advantage: true,
            ent_coef: 0.0,
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: None,
            shared_trunk: false,
            log_std_init: 0.0,
            normalize_observations: false,
            normalize_rewards: false,
        }
    }
}

impl RecurrentPpoSpec {
    /// The same hyperparameters of PPO, which learns in sequences where its networks are recurrent.
    fn ppo(&self) -> PpoSpec {
        PpoSpec {
            n_envs: self.n_envs,
            n_steps: self.n_steps,
            batch_size: self.batch_size,
            n_epochs: self.n_epochs,
            learning_rate: self.learning_rate,
            adam_epsilon: self.adam_epsilon,
            gamma: self.gamma,
            gae_lambda: self.gae_lambda,
            clip_range: self.clip_range,
            clip_range_vf: self.clip_range_vf,
            normalize_advantage: self.normalize_advantage,
            ent_coef: self.ent_coef,
            vf_coef: self.vf_coef,
            max_grad_norm: self.max_grad_norm,
            target_kl: self.target_kl,
            shared_trunk: self.shared_trunk,
            log_std_init: self.log_std_init,
            use_sde: false,
            sde_sample_freq: -1,
            normalize_observations: self.normalize_observations,
            normalize_rewards: self.normalize_rewards,
        }
    }
}

impl AlgorithmSettings for RecurrentPpoSpec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn recurrent(&self) -> bool {
        true
    }

    fn masks_actions(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        has_head(actions)
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        self.ppo().problems(policy, schedule, env)
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        self.ppo().build_policy(setup)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        self.ppo().build(setup)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::algorithm::on_policy::{self, Minibatch};
    use crate::algorithm::ppo::{Ppo, learn};
    use crate::algorithm::recorded_tests::{Recording, with_setup};
    use crate::nn::{Activation, RecurrentSpec};
    use crate::policy::{NeuralSpec, RecurrentStates};

    /// The settings and the minibatches, with unequal sequences, are those of tests/goldens/recurrent/record.py.
    #[test]
    fn recorded_updates_are_those_of_stable_baselines3s_contrib_package() {
        const LAYERS: usize = 2;
        let recording = Recording::load("recurrent/updates.safetensors");
        let spec = RecurrentPpoSpec {
            ent_coef: 0.05,
            clip_range_vf: Some(Annealed::Constant(0.3)),
            ..RecurrentPpoSpec::default()
        };
        let recurrent =
            RecurrentSpec { hidden_size: 5, num_layers: LAYERS, ..RecurrentSpec::default() };
        let network = NeuralSpec {
            recurrent: Some(recurrent),
            hidden: vec![6],
            activation: Activation::Tanh,
            ..NeuralSpec::default()
        };
        let new = |setup: &Setup<'_>| Ppo::<f64>::new(spec.ppo(), setup);
        let mut ppo = with_setup(&PolicySpec::Neural(network), new).expect("an engine on any CPU");
        // Actor and critic of two recurrent and two other layers, and the deviations.
        assert_eq!(recording.begin(&mut ppo), 2 * (LAYERS * 4 + 2 * 2) + 1);
        for update in 0..8 {
            let named = |name: &str| format!("{update}.{name}");
            let (read, single) =
                (|name| recording.numbers(&named(name)), |name| recording.single(&named(name)));
            let mut batch = Minibatch {
                features: single("observations"),
                actions: single("actions"),
                old_log_probs: read("old_log_prob"),
                old_values: read("old_values"),
                advantages: read("advantages"),
                returns: read("returns"),
                lengths: read("lengths").into_iter().map(|length| length as usize).collect(),
                states: RecurrentStates {
                    actor: read("actor_states"),
                    critic: read("critic_states"),
                },
                ..Minibatch::default()
            };
            on_policy::normalise(&mut batch.advantages);
            let (losses, _) = learn(&mut ppo.agent, &mut batch, &spec.ppo(), 1.0);
            recording.assert_close(&named("policy_loss"), &[losses.policy_loss]);
            recording.assert_close(&named("value_loss"), &[losses.value_loss]);
            recording.assert_close(&named("entropy"), &[-losses.entropy]);
            ppo.optimiser.step(0.01, &mut ppo.agent.parameters());
        }
        recording.end(&ppo);
    }

    /// Problems of an experiment with this algorithm and policy.
    fn problems(algorithm: &str, policy: Value) -> Vec<String> {
        let mut agent = json!({
            "policy": { "type": "neural" },
            "training": { "algorithm": { "name": algorithm }, "schedule": { "steps": 1 } },
        });
        let own = agent["policy"].as_object_mut().expect("above");
        own.extend(policy.as_object().expect("an object").clone());
        let experiment = json!({
            "name": "memory", "environment": { "id": "CartPole-v1" }, "agents": { "a": agent },
        });
        let problems = crate::validation::check(&experiment).err().unwrap_or_default();
        let shown = |problem: Problem| format!("{}: {}", problem.path.join("."), problem.message);
        problems.into_iter().map(shown).collect()
    }

    #[test]
    fn recurrent_layers_are_for_this_algorithm_on_the_native_engine() {
        let lstm = json!({ "recurrent": { "type": "lstm" } });
        assert_eq!(problems("recurrent_ppo", lstm.clone()), [""; 0]);
        assert_eq!(
            problems("recurrent_ppo", json!({})),
            [
                "agents.a.policy: recurrent_ppo learns networks with recurrent layers: add \"recurrent\": { \"type\": \"lstm\" }"
            ]
        );
        for name in ["ppo", "a2c", "dqn", "reinforce", "cem", "model_based_planning"] {
            let expected = format!(
                "agents.a.policy.recurrent: {name} learns networks without recurrent layers: leave it out, or use \
                 recurrent_ppo"
            );
            assert_eq!(problems(name, lstm.clone()), [expected]);
        }
        let torch = json!({ "recurrent": { "type": "gru" }, "engine": "torch" });
        assert_eq!(
            problems("recurrent_ppo", torch),
            [
                "agents.a.policy.engine: recurrent layers are computed by engine \"native\" on the CPU alone: use \
              \"engine\": \"native\" or \"auto\", with \"device\": \"cpu\""
            ]
        );
        let pixels = json!({
            "recurrent": {}, "observation": { "type": "pixels" },
            "convolutions": [{ "channels": 4, "kernel": 4, "stride": 2 }],
        });
        assert_eq!(
            problems("recurrent_ppo", pixels),
            [
                "agents.a.policy.recurrent: recurrent layers look at no convolutions: leave one of the two out"
            ]
        );
    }
}
