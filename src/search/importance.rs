//! How much each parameter matters.

use optimizer::parameter::{ParamValue, Parameter as _};
use optimizer::{Direction, FanovaConfig, Study};
use serde_json::Value;

use super::sampler::{Sample, Suggested};
use super::spec::SearchSpec;

/// The share of the scores' variance over the search space that each parameter explains alone, by functional
/// ANOVA on a random forest (Hutter et al. 2014), the most important one first. Empty for fewer than two
/// scores.
pub fn importance(search: &SearchSpec, scored: &[(&Sample, f64)]) -> Vec<(String, f64)> {
    let Some((first, _)) = scored.first() else { return Vec::new() };
    let study: Study = Study::new(Direction::Minimize);
    let parameters: Vec<_> = search
        .parameters_of(&first.agent)
        .map(|(path, parameter)| (path, Suggested::new(path, parameter)))
        .collect();
    for (sample, score) in scored {
        let known = parameters.iter().filter_map(|(path, parameter)| {
            let value = &sample.values[*path];
            Some(match parameter {
                Suggested::Float(p) => (p.id(), ParamValue::Float(value.as_f64()?)),
                Suggested::Integer(p) => (p.id(), ParamValue::Int(value.as_i64()?)),
                Suggested::Choice(p, values) => {
                    (p.id(), ParamValue::Categorical(index(values, value)?))
                }
            })
        });
        study.enqueue(known.collect());
        let mut trial = study.ask();
        for (_, parameter) in &parameters {
            parameter.value(&mut trial);
        }
        study.tell(trial, Ok::<_, String>(*score));
    }
    let config = FanovaConfig { seed: Some(search.seed), ..FanovaConfig::default() };
    study.fanova_with_config(&config).map(|found| found.main_effects).unwrap_or_default()
}

fn index(values: &[Value], value: &Value) -> Option<usize> {
    values.iter().position(|other| other == value)
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
