//! Recurrent PPO: proximal policy optimisation with networks that remember, LSTM or GRU, with the hyperparameters of
//! Stable-Baselines3's contrib package.
//!
//! It is PPO in environments that do not show all of their state. Each copy of the environment has states of actor and critic,
//! which go on from one rollout to the next and are zeros where an episode begins. Minibatches are not of single steps but of
//! the steps of a copy one after another: gradients go back through time to where a minibatch, a rollout or an episode begins,
//! and the state there is the one that the policy had when it acted.

use schemars::JsonSchema;

use super::ppo::{Networks, PpoSpec};

/// LSTM or GRU.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub(super) struct Recurrent;

impl Networks for Recurrent {
    const RECURRENT: bool = true;
    const STEPS: (usize, usize) = (128, 128);
}

/// Hyperparameters of recurrent PPO.
pub(super) type RecurrentPpoSpec = PpoSpec<Recurrent>;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::algorithm::interface::Setup;
    use crate::algorithm::on_policy::{self, Minibatch};
    use crate::algorithm::ppo::{Ppo, learn};
    use crate::algorithm::recorded_tests::{Recording, with_setup};
    use crate::env::Problem;
    use crate::nn::{Activation, RecurrentSpec};
    use crate::policy::{NeuralSpec, PolicySpec, RecurrentStates};
    use crate::training::Annealed;

    /// The settings and the minibatches, with unequal sequences, are those of tests/goldens/recurrent/record.py.
    #[test]
    fn recorded_updates_are_those_of_stable_baselines3s_contrib_package() {
        assert_updates("recurrent/updates.safetensors", false);
        assert_updates("recurrent/sde.safetensors", true);
    }

    fn assert_updates(recording: &str, use_sde: bool) {
        const LAYERS: usize = 2;
        let recording = Recording::load(recording);
        let spec = RecurrentPpoSpec {
            use_sde,
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
        let new = |setup: &Setup<'_>| Ppo::<f64, Recurrent>::new(spec.clone(), setup);
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
            let (losses, _) = learn(&mut ppo.agent, &mut batch, &spec, 1.0);
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
