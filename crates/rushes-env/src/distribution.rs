//! Distributions of settings, as files write them: what a search draws samples from and a wrapper an episode's options.

use rand::RngExt as _;
use rushes_rng::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A distribution of JSON values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// One of these, drawn evenly.
    Choice(#[schemars(length(min = 1, max = 10_000))] Vec<Value>),
    /// A number drawn evenly between these two.
    Uniform([f64; 2]),
    /// A number whose logarithm is drawn evenly between those of these two.
    LogUniform([f64; 2]),
    /// A whole number drawn evenly from the first to the last one.
    Integer([i64; 2]),
}

impl Distribution {
    /// Values that stand for all of them: each one of a list, both ends of a range.
    pub fn extremes(&self) -> Vec<Value> {
        match self {
            Self::Choice(values) => values.clone(),
            Self::Uniform(ends) | Self::LogUniform(ends) => ends.map(|end| json!(end)).to_vec(),
            Self::Integer(ends) => ends.map(|end| json!(end)).to_vec(),
        }
    }

    /// What makes it impossible to draw from, `None` where nothing does.
    pub fn problem(&self) -> Option<String> {
        let order = |low: f64, high: f64| {
            (low >= high).then(|| format!("expected the lower end first, found {low} and {high}"))
        };
        match *self {
            Self::Uniform([low, high]) => order(low, high).or_else(|| {
                (!(high - low).is_finite())
                    .then(|| format!("expected ends nearer to each other, found {low} and {high}"))
            }),
            Self::LogUniform([low, _]) if low <= 0.0 => {
                Some(format!("a logarithm needs ends above zero, found {low}"))
            }
            Self::LogUniform([low, high]) => order(low, high),
            Self::Integer([low, high]) => order(low as f64, high as f64),
            Self::Choice(_) => None,
        }
    }

    /// A value drawn from a distribution that [`Distribution::problem`] has nothing against.
    pub fn draw(&self, rng: &mut Rng) -> Value {
        match self {
            Self::Choice(values) => values[rng.random_range(0..values.len())].clone(),
            Self::Uniform([low, high]) => json!(rng.random_range(*low..=*high)),
            Self::LogUniform([low, high]) => {
                json!(rng.random_range(low.ln()..=high.ln()).exp().clamp(*low, *high))
            }
            Self::Integer([low, high]) => json!(rng.random_range(*low..=*high)),
        }
    }
}
