//! Which values are tried.

use indexmap::IndexMap;
use optimizer::parameter::{CategoricalParam, FloatParam, IntParam, Parameter as _};
use optimizer::sampler::TpeSampler;
use optimizer::{Study, Trial};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::spec::{Direction, ParameterSpec, SamplerSpec, SearchSpec};
use crate::experiment::{AgentSpec, Override, Spec};
use crate::rng::{Purpose, Rng, stream};

/// An agent with other values in some places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The agent's name.
    pub agent: String,
    /// Its number among the agent's samples, counted from 0.
    pub number: usize,
    /// The values by their paths.
    pub values: IndexMap<String, Value>,
}

impl Sample {
    /// The agent's settings with the values in their places.
    ///
    /// # Errors
    /// Where a value does not fit; never for a checked experiment.
    pub fn settings(&self, experiment: &Spec) -> anyhow::Result<AgentSpec> {
        let mut value = serde_json::to_value(experiment)?;
        for (path, new) in &self.values {
            let change = Override::new(path, new.clone());
            change.apply(&mut value).map_err(anyhow::Error::msg)?;
        }
        Ok(serde_json::from_value(value["agents"][&self.agent].take())?)
    }
}

/// The samples of the next round, given those of the earlier rounds with their scores: none when the search
/// is over. A score of nothing is that of a sample that failed.
pub fn next_samples(experiment: &Spec, earlier: &[(Sample, Option<f64>)]) -> Vec<Sample> {
    let Some(search) = &experiment.search else { return Vec::new() };
    let mut samples = Vec::new();
    for (index, agent) in search.agents(experiment).enumerate() {
        let scores: Vec<Option<f64>> = (earlier.iter())
            .filter(|(sample, _)| sample.agent == agent)
            .map(|(_, score)| *score)
            .collect();
        let drawn = match search.sampler {
            SamplerSpec::Random | SamplerSpec::Grid if !scores.is_empty() => Vec::new(),
            SamplerSpec::Random => {
                random(search, agent, &mut stream(search.seed, Purpose::Search, index as u64))
            }
            SamplerSpec::Grid => combinations(search, agent, grid_values),
            SamplerSpec::Tpe { startup, batch } => {
                Tpe::new(search, agent, startup, index as u64).next(&scores, batch, search.samples)
            }
        };
        let first = scores.len();
        samples.extend(drawn.into_iter().enumerate().map(|(i, values)| Sample {
            agent: agent.to_owned(),
            number: first + i,
            values,
        }));
    }
    samples
}

type Values = IndexMap<String, Value>;

/// Every combination of the parameters that `values` lists something for; the others are left out.
fn combinations(
    search: &SearchSpec,
    agent: &str,
    values: impl Fn(&ParameterSpec) -> Option<Vec<Value>>,
) -> Vec<Values> {
    let mut combinations = vec![Values::new()];
    for (path, parameter) in search.parameters_of(agent) {
        let Some(values) = values(parameter) else { continue };
        combinations = (combinations.iter())
            .flat_map(|combination| {
                values.iter().map(|value| {
                    let mut longer = combination.clone();
                    longer.insert(path.to_owned(), value.clone());
                    longer
                })
            })
            .collect();
    }
    combinations
}

fn grid_values(parameter: &ParameterSpec) -> Option<Vec<Value>> {
    match parameter {
        ParameterSpec::Grid(values) | ParameterSpec::Choice(values) => Some(values.clone()),
        ParameterSpec::Integer([low, high]) => Some((*low..=*high).map(|n| json!(n)).collect()),
        ParameterSpec::Uniform(_) | ParameterSpec::LogUniform(_) => None,
    }
}

/// `samples` draws for every combination of the grid.
fn random(search: &SearchSpec, agent: &str, rng: &mut Rng) -> Vec<Values> {
    let grid = combinations(search, agent, |parameter| match parameter {
        ParameterSpec::Grid(values) => Some(values.clone()),
        _ => None,
    });
    let mut samples = Vec::new();
    for point in grid.iter().flat_map(|point| std::iter::repeat_n(point, search.samples)) {
        let values = search.parameters_of(agent).map(|(path, parameter)| {
            let value = match parameter {
                ParameterSpec::Grid(_) => point[path].clone(),
                ParameterSpec::Choice(values) => values[rng.random_range(0..values.len())].clone(),
                ParameterSpec::Uniform([low, high]) => json!(rng.random_range(*low..=*high)),
                ParameterSpec::LogUniform([low, high]) => {
                    json!(rng.random_range(low.ln()..=high.ln()).exp().clamp(*low, *high))
                }
                ParameterSpec::Integer([low, high]) => json!(rng.random_range(*low..=*high)),
            };
            (path.to_owned(), value)
        });
        samples.push(values.collect());
    }
    samples
}

/// A parameter as the `optimizer` crate has it.
pub(super) enum Suggested {
    /// A number.
    Float(FloatParam),
    /// A whole number.
    Integer(IntParam),
    /// One of the listed values, by its index.
    Choice(CategoricalParam<usize>, Vec<Value>),
}

impl Suggested {
    /// The parameter at `path`.
    pub(super) fn new(path: &str, parameter: &ParameterSpec) -> Self {
        match parameter {
            ParameterSpec::Grid(values) | ParameterSpec::Choice(values) => {
                let indices = (0..values.len()).collect();
                Self::Choice(CategoricalParam::new(indices).name(path), values.clone())
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

    /// The value that the study has for it in `trial`.
    pub(super) fn value(&self, trial: &mut Trial) -> Value {
        const CHECKED: &str = "the range was checked with the experiment";
        match self {
            Self::Float(parameter) => json!(parameter.suggest(trial).expect(CHECKED)),
            Self::Integer(parameter) => json!(parameter.suggest(trial).expect(CHECKED)),
            Self::Choice(parameter, values) => {
                values[parameter.suggest(trial).expect(CHECKED)].clone()
            }
        }
    }
}

/// The tree-structured Parzen estimator, begun anew for every round: earlier rounds are told again, which
/// leaves it in the state that it had.
struct Tpe {
    study: Study,
    parameters: Vec<(String, Suggested)>,
}

impl Tpe {
    fn new(search: &SearchSpec, agent: &str, startup: usize, index: u64) -> Self {
        let seed = stream(search.seed, Purpose::Search, index).random();
        let sampler = TpeSampler::builder().n_startup_trials(startup).seed(seed);
        let sampler = sampler.build().expect("the estimator's own defaults are valid");
        let study = match search.direction() {
            Direction::Minimize => Study::minimize(sampler),
            Direction::Maximize => Study::maximize(sampler),
        };
        let parameters = search.parameters_of(agent);
        let parameters = parameters.map(|(path, p)| (path.to_owned(), Suggested::new(path, p)));
        Self { parameters: parameters.collect(), study }
    }

    /// The next `batch` samples after those with these scores, up to `most` in all.
    fn next(&self, scores: &[Option<f64>], batch: usize, most: usize) -> Vec<Values> {
        for round in scores.chunks(batch) {
            let asked: Vec<_> = round.iter().map(|_| self.ask().0).collect();
            for (trial, score) in asked.into_iter().zip(round) {
                self.study.tell(trial, score.ok_or("failed"));
            }
        }
        let rest = most.saturating_sub(scores.len()).min(batch);
        (0..rest).map(|_| self.ask().1).collect()
    }

    fn ask(&self) -> (Trial, Values) {
        let mut trial = self.study.ask();
        let values = self.parameters.iter();
        let values =
            values.map(|(path, parameter)| (path.clone(), parameter.value(&mut trial))).collect();
        (trial, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An experiment with a search over REINFORCE's settings.
    fn experiment(search: Value) -> Spec {
        let value = json!({
            "name": "searched",
            "environment": { "id": "CartPole-v1" },
            "agents": { "learner": {
                "policy": { "type": "neural" },
                "training": {
                    "algorithm": { "name": "reinforce" },
                    "schedule": { "steps": 1000 },
                },
            } },
            "search": search,
        });
        crate::experiment::load::check(&value).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    const RATE: &str = "agents.learner.training.algorithm.learning_rate";
    const HIDDEN: &str = "agents.learner.policy.hidden";

    fn number(sample: &Sample) -> f64 {
        sample.values[RATE].as_f64().expect("a number")
    }

    #[test]
    fn random_samples_are_counted_for_every_grid_point() {
        let experiment = experiment(json!({
            "parameters": {
                HIDDEN: { "grid": [[8], [16]] },
                RATE: { "log_uniform": [1e-5, 1e-1] },
            },
            "samples": 50,
        }));
        let samples = next_samples(&experiment, &[]);
        assert_eq!(samples.len(), 100);
        assert_eq!(samples, next_samples(&experiment, &[]), "the seed decides");
        assert!(samples[..50].iter().all(|sample| sample.values[HIDDEN] == json!([8])));
        // Evenly over the decades: a quarter below 1e-4, in a way that 100 draws show.
        let small = samples.iter().filter(|sample| number(sample) < 1e-4).count();
        assert!((12..=38).contains(&small), "{small}");
        assert!(samples.iter().all(|sample| (1e-5..=1e-1).contains(&number(sample))));
        let scored: Vec<_> = samples.into_iter().map(|sample| (sample, Some(0.0))).collect();
        assert!(next_samples(&experiment, &scored).is_empty(), "one round is all");
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let samples = next_samples(
            &experiment(json!({
                "parameters": {
                    HIDDEN: { "choice": [[8], [16]] },
                    RATE: { "grid": [0.1, 0.01, 0.001] },
                },
                "sampler": { "name": "grid" },
            })),
            &[],
        );
        let mut seen: Vec<String> = samples.iter().map(|s| format!("{:?}", s.values)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!((samples.len(), seen.len()), (6, 6));
    }

    #[test]
    fn a_sample_changes_nothing_else() {
        let experiment = experiment(json!({ "parameters": { HIDDEN: { "grid": [[7, 5]] } } }));
        let [sample] = &next_samples(&experiment, &[])[..] else { panic!("one sample") };
        let mut expected = serde_json::to_value(&experiment.agents["learner"]).expect("JSON");
        expected["policy"]["hidden"] = json!([7, 5]);
        let settings = sample.settings(&experiment).expect("a value that fits");
        assert_eq!(serde_json::to_value(settings).expect("JSON"), expected);
    }

    /// Asks for all samples of a TPE search, scoring each by `score`.
    fn play(experiment: &Spec, score: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut scored: Vec<(Sample, Option<f64>)> = Vec::new();
        loop {
            let round = next_samples(experiment, &scored);
            if round.is_empty() {
                return scored.iter().map(|(sample, _)| number(sample)).collect();
            }
            scored.extend(round.into_iter().map(|sample| {
                let value = score(number(&sample));
                (sample, Some(value))
            }));
        }
    }

    #[test]
    fn the_parzen_estimator_closes_in_and_repeats_itself() {
        let experiment = experiment(json!({
            "parameters": { RATE: { "uniform": [0.001, 1.0] } },
            "samples": 60,
            "sampler": { "name": "tpe", "startup": 12, "batch": 4 },
        }));
        let score = |x: f64| -(x - 0.3).powi(2);
        let drawn = play(&experiment, score);
        assert_eq!(drawn.len(), 60);
        assert_eq!(drawn, play(&experiment, score));
        let distance = |part: &[f64]| part.iter().map(|x| (x - 0.3).abs()).sum::<f64>();
        assert!(distance(&drawn[40..]) < 0.5 * distance(&drawn[..12]) * 20.0 / 12.0, "{drawn:?}");
        assert_ne!(drawn[12..], play(&experiment, |x| score(x + 0.5))[12..], "scores matter");
    }
}
