//! How much each parameter matters.

use optimizer::parameter::{
    CategoricalParam, FloatParam, IntParam, ParamId, ParamValue, Parameter as _,
};
use optimizer::{Direction, FanovaConfig, Study, Trial};
use serde_json::Value;

use crate::experiment::{ParameterSpec, Sample, SearchSpec};

/// The share of the scores' variance over the search space that each parameter explains alone, by functional
/// ANOVA on a random forest (Hutter et al. 2014), the most important one first. Empty for fewer than two
/// scores.
pub fn importance(search: &SearchSpec, scored: &[(&Sample, f64)]) -> Vec<(String, f64)> {
    let Some((first, _)) = scored.first() else { return Vec::new() };
    let study: Study = Study::new(Direction::Minimize);
    let parameters: Vec<_> = search
        .parameters_of(&first.agent)
        .map(|(path, parameter)| (path, Parameter::new(path, parameter)))
        .collect();
    for (sample, score) in scored {
        let known = parameters.iter();
        let known = known.filter_map(|(path, parameter)| parameter.known(&sample.values[*path]));
        study.enqueue(known.collect());
        let mut trial = study.ask();
        if parameters.iter().any(|(_, parameter)| parameter.take(&mut trial).is_err()) {
            return Vec::new();
        }
        study.tell(trial, Ok::<_, String>(*score));
    }
    let config = FanovaConfig { seed: Some(search.seed), ..FanovaConfig::default() };
    study.fanova_with_config(&config).map(|found| found.main_effects).unwrap_or_default()
}

/// A parameter as the `optimizer` crate has it.
enum Parameter<'a> {
    Float(FloatParam),
    Integer(IntParam),
    /// One of the listed values, by its index.
    Choice(CategoricalParam<usize>, &'a [Value]),
}

impl<'a> Parameter<'a> {
    fn new(path: &str, parameter: &'a ParameterSpec) -> Self {
        match parameter {
            ParameterSpec::Grid(values) | ParameterSpec::Choice(values) => {
                Self::Choice(CategoricalParam::new((0..values.len()).collect()).name(path), values)
            }
            ParameterSpec::Uniform([low, high]) => {
                Self::Float(FloatParam::new(*low, *high).name(path))
            }
            ParameterSpec::LogUniform([low, high]) => {
                Self::Float(FloatParam::new(*low, *high).log_scale().name(path))
            }
            ParameterSpec::Integer([low, high]) => {
                Self::Integer(IntParam::new(*low, *high).name(path))
            }
        }
    }

    /// The value that is to be enqueued for it; nothing for one that it cannot have.
    fn known(&self, value: &Value) -> Option<(ParamId, ParamValue)> {
        Some(match self {
            Self::Float(parameter) => (parameter.id(), ParamValue::Float(value.as_f64()?)),
            Self::Integer(parameter) => (parameter.id(), ParamValue::Int(value.as_i64()?)),
            Self::Choice(parameter, values) => {
                let index = values.iter().position(|other| other == value)?;
                (parameter.id(), ParamValue::Categorical(index))
            }
        })
    }

    /// Takes the enqueued value.
    fn take(&self, trial: &mut Trial) -> optimizer::Result<()> {
        match self {
            Self::Float(parameter) => parameter.suggest(trial).map(drop),
            Self::Integer(parameter) => parameter.suggest(trial).map(drop),
            Self::Choice(parameter, _) => parameter.suggest(trial).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_parameter_that_decides_is_the_important_one() {
        let search: SearchSpec = serde_json::from_value(json!({ "parameters": {
            "agents.a.x": { "uniform": [0.0, 1.0] },
            "agents.a.y": { "log_uniform": [0.01, 1.0] },
            "agents.a.z": { "choice": ["p", "q"] },
        } }))
        .expect("a search");
        let samples: Vec<Sample> = (0..40)
            .map(|i| Sample {
                agent: "a".into(),
                number: i,
                values: IndexMap::from([
                    ("agents.a.x".into(), json!((i * 7 % 40) as f64 / 40.0)),
                    ("agents.a.y".into(), json!(0.01 + (i * 11 % 40) as f64 / 41.0)),
                    ("agents.a.z".into(), json!(["p", "q"][i % 2])),
                ]),
                parent: None,
            })
            .collect();
        let score = |sample: &Sample| sample.values["agents.a.x"].as_f64().expect("a number");
        let scored: Vec<_> = samples.iter().map(|sample| (sample, score(sample))).collect();
        let found = importance(&search, &scored);
        assert_eq!(found, importance(&search, &scored), "the seed decides");
        assert_eq!(found[0].0, "agents.a.x");
        assert!(found[0].1 > 0.8, "{found:?}");
        assert!(importance(&search, &[]).is_empty());
    }
}
