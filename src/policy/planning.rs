//! Planning on the environment itself: needs no training, and bounds what planning with a learned model can
//! reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Env, Mode, Policy, PolicyError, Problem, Situation, Space};
use crate::planning::{Planner, PlannerMemory, PlannerSpec, Simulator};
use crate::rng::Rng;

/// A planner that looks ahead in copies of the environment. The copies foresee chance, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanningSpec {
    /// How it looks for the best sequence of actions.
    pub planner: PlannerSpec,
    /// Discount factor of imagined rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
}

impl Default for PlanningSpec {
    fn default() -> Self {
        Self { planner: PlannerSpec::default(), discount: 0.99 }
    }
}

impl PlanningSpec {
    /// What makes it impossible on `env`; paths are below the agent.
    pub fn problems(&self, env: &dyn Env) -> Vec<Problem> {
        let mut problems = Vec::new();
        if env.try_clone().is_none() {
            let message = "planning needs copies of the environment, which this one cannot make (another process keeps \
                           its state); the environments of this program and programs with snapshots can, and the \
                           algorithm `model_based_planning` learns a model of any";
            problems.push(Problem::new(&["policy", "type"], message));
        }
        let actions = env.action_space();
        if matches!(self.planner, PlannerSpec::Cem(_)) && !actions.is_discrete_or_box() {
            let message =
                format!("cem draws no actions of {actions}: use random_shooting or exhaustive");
            problems.push(Problem::new(&["policy", "planner"], message));
        }
        problems.extend(
            self.planner.problem().map(|message| Problem::new(&["policy", "planner"], message)),
        );
        problems
    }
}

/// The policy of a [`PlanningSpec`].
pub struct Planning {
    planner: Planner,
    memory: PlannerMemory,
}

impl Planning {
    /// A policy on this action space.
    pub fn new(spec: &PlanningSpec, action_space: &Space) -> Self {
        Self {
            planner: Planner::new(&spec.planner, spec.discount, action_space),
            memory: PlannerMemory::default(),
        }
    }
}

impl Policy for Planning {
    fn begin_episode(&mut self) {
        self.memory = PlannerMemory::default();
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let mut model = Simulator::new(situation.env);
        self.planner
            .plan(&mut model, &mut self.memory, rng, action)
            .map_err(|error| PolicyError { step: situation.step, message: error.to_string() })
    }
}
