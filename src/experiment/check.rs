//! The gate's part of an experiment file.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::Problem;

/// How the regression gate decides. Margin and drop are fractions of the range between the random agent's
/// and the agent's own baseline score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSpec {
    /// What is asked of a run.
    pub question: Question,
    /// What is compared, for every agent that has it.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub metrics: Vec<Metric>,
    /// How much worse is tolerated, as a fraction of the range.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub margin: f64,
    /// How often the whole gate may call an unchanged experiment regressed.
    #[schemars(range(min = 0.0001, max = 0.5))]
    pub error_rate: f64,
    /// The drop that the gate has to be able to see, as a fraction of the range; where seeds are too few
    /// or scatter too much for that, the verdict is "inconclusive".
    #[schemars(range(min = 0.001, max = 10.0))]
    pub drop: f64,
    /// How often it has to see it.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub power: f64,
    /// With `question: "same"`, by how much a run may differ from the baseline and still count as the same, as a fraction
    /// of the range.
    #[schemars(range(min = 0.001, max = 10.0))]
    pub same_within: f64,
    /// The range in units of the return, instead of the one between random and baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub range: Option<f64>,
}

impl Default for CheckSpec {
    fn default() -> Self {
        Self {
            question: Question::Worse,
            metrics: vec![Metric::Return],
            margin: 0.02,
            error_rate: 0.05,
            drop: 0.2,
            power: 0.9,
            same_within: 0.1,
            range: None,
        }
    }
}

impl CheckSpec {
    /// What is compared: where sameness is asked for, the learning curves too.
    pub fn compared(&self) -> impl Iterator<Item = Metric> {
        let curves = self.question == Question::Same && !self.metrics.contains(&Metric::Area);
        self.metrics.iter().copied().chain(curves.then_some(Metric::Area))
    }

    /// What no schema can know: settings that contradict each other.
    pub fn problems(&self) -> Vec<Problem> {
        if self.margin < self.drop {
            return Vec::new();
        }
        let message = format!(
            "expected less than `drop` ({}), found {}: a drop that is tolerated can never be seen",
            self.drop, self.margin
        );
        vec![Problem::new(&["check", "margin"], message)]
    }
}

/// What the gate asks of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether it is worse than the baseline.
    #[default]
    Worse,
    /// Whether it learns the same, neither worse nor better: for ports, refactorings, other hardware.
    Same,
}

/// One number for every seed, by which runs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The mean return of the evaluation after training.
    Return,
    /// The mean height of the learning curve: of the evaluations where training was evaluated at two points at least,
    /// its end among them, else of the training returns.
    Area,
    /// Environment steps until the training return reached the environment's reward threshold; a seed that
    /// never did counts with twice the most steps that any seed took. Less is better.
    StepsToThreshold,
}

impl Metric {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Return => "return",
            Metric::Area => "area",
            Metric::StepsToThreshold => "steps_to_threshold",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            // Not the evaluation's, which the other metrics are of.
            Metric::StepsToThreshold => "training steps to threshold",
            _ => self.name(),
        })
    }
}
