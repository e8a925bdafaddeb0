//! Which values are tried.

use indexmap::IndexMap;
use rand::RngExt as _;
use serde_json::{Value, json};
use tpe::TpeOptimizer;

use crate::experiment::{
    Direction, ParameterSpec, Parent, Plan, Sample, SamplerSpec, SchedulerSpec, SearchSpec, Spec,
};
use crate::rng::{Purpose, Rng, stream};

/// The plan of a checked experiment, with the first round of its search.
///
/// # Errors
/// Fails if a searched value does not fit; never for a checked experiment.
pub fn plan(experiment: Spec) -> anyhow::Result<Plan> {
    let mut plan = Plan::new(experiment)?;
    plan.add(next_samples(&plan.experiment, &[]))?;
    Ok(plan)
}

/// The samples of the next round, given those of the earlier rounds with their scores: none when the search
/// is over. A score of nothing is that of a sample that failed.
pub fn next_samples(experiment: &Spec, earlier: &[(Sample, Option<f64>)]) -> Vec<Sample> {
    let Some(search) = &experiment.search else { return Vec::new() };
    let mut samples = Vec::new();
    for (index, agent) in search.agents(experiment).enumerate() {
        let earlier: Vec<_> = earlier.iter().filter(|(sample, _)| sample.agent == agent).collect();
        let drawn = match search.sampler {
            SamplerSpec::Random | SamplerSpec::Grid if !earlier.is_empty() => Vec::new(),
            SamplerSpec::Random => {
                random(search, agent, &mut stream(search.seed, Purpose::Search, index as u64))
            }
            SamplerSpec::Grid => combinations(search, agent, grid_values),
            SamplerSpec::Tpe { startup, batch } => {
                parzen(search, agent, (startup, batch), index as u64, &earlier)
            }
        };
        let first = earlier.len();
        samples.extend(drawn.into_iter().enumerate().map(|(i, values)| Sample {
            agent: agent.to_owned(),
            number: first + i,
            values,
            parent: None,
        }));
    }
    samples
}

type Values = IndexMap<String, Value>;

/// The sample that goes on from `sample`, a population's, with its values perturbed.
pub(super) fn heir(plan: &Plan, sample: &Sample, parent: Parent) -> Sample {
    let agent = &sample.agent;
    let number = plan.samples.iter().filter(|other| other.agent == *agent).count();
    let mut values = Values::new();
    if let Some(search) = &plan.experiment.search
        && let SchedulerSpec::PopulationBasedTraining {
            resample_probability,
            perturbation_factors,
            ..
        } = search.scheduler
    {
        let rng = &mut draws(&plan.experiment, agent, (number as u64) << 16);
        for (path, parameter) in search.parameters_of(agent) {
            let value = if rng.random::<f64>() < resample_probability {
                parameter.draw(rng)
            } else {
                parameter.neighbour(&sample.values[path], perturbation_factors, rng.random())
            };
            values.insert(path.to_owned(), value);
        }
    }
    Sample { agent: agent.clone(), number, values, parent: Some(parent) }
}

/// What is drawn where an agent's samples are compared after so many steps.
pub(super) fn draws_at(experiment: &Spec, agent: &str, milestone: u64) -> Rng {
    draws(experiment, agent, 1 << 47 | milestone)
}

/// Draws for an agent, of those with this number among its own.
fn draws(experiment: &Spec, agent: &str, number: u64) -> Rng {
    let search = experiment.search.as_ref();
    let agents = search.into_iter().flat_map(|search| search.agents(experiment));
    let index = agents.take_while(|other| *other != agent).count() as u64;
    stream(search.map_or(0, |search| search.seed), Purpose::Search, index << 48 | number)
}

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
            let value = point.get(path).cloned().unwrap_or_else(|| parameter.draw(rng));
            (path.to_owned(), value)
        });
        samples.push(values.collect());
    }
    samples
}

/// The next samples of a tree-structured Parzen estimator, one for each parameter. It is begun anew for
/// every round and told all earlier samples, and every sample draws from a stream of its own.
fn parzen(
    search: &SearchSpec,
    agent: &str,
    (startup, batch): (usize, usize),
    index: u64,
    earlier: &[&(Sample, Option<f64>)],
) -> Vec<Values> {
    let rest = search.samples.saturating_sub(earlier.len()).min(batch);
    let mut samples = vec![Values::new(); rest];
    for (number, (path, parameter)) in search.parameters_of(agent).enumerate() {
        let mut estimator = parameter.estimator();
        for (sample, score) in earlier {
            // It looks for small values. A sample that failed is the worst.
            let loss = match (score, search.direction()) {
                (None, _) => f64::INFINITY,
                (Some(score), Direction::Minimize) => *score,
                (Some(score), Direction::Maximize) => -score,
            };
            let told = estimator.tell(parameter.place(&sample.values[path]), loss);
            told.expect("scores are numbers and samples lie in their ranges");
        }
        for (i, sample) in samples.iter_mut().enumerate() {
            let draw = (earlier.len() + i) as u64;
            let mut rng =
                stream(search.seed, Purpose::Search, index << 48 | draw << 16 | number as u64);
            let value = if earlier.len() + i < startup {
                parameter.draw(&mut rng)
            } else {
                let place = estimator.ask(&mut rng);
                parameter.at(place.expect("an estimator over a valid range"))
            };
            sample.insert(path.to_owned(), value);
        }
    }
    samples
}

impl ParameterSpec {
    /// A value drawn evenly.
    fn draw(&self, rng: &mut Rng) -> Value {
        self.distribution().draw(rng)
    }

    /// A number times one of two factors, within the parameter's range; of a list, the value before or after.
    fn neighbour(&self, value: &Value, factors: [f64; 2], up: bool) -> Value {
        let number = value.as_f64().unwrap_or(f64::NAN);
        let scaled = number * factors[usize::from(up)];
        match self {
            Self::Grid(values) | Self::Choice(values) => {
                let place = values.iter().position(|other| other == value).unwrap_or(0);
                let next = if up { place + 1 } else { place.saturating_sub(1) };
                values[next.min(values.len() - 1)].clone()
            }
            Self::Uniform([low, high]) | Self::LogUniform([low, high]) => {
                json!(scaled.clamp(*low, *high))
            }
            Self::Integer([low, high]) => json!((scaled.round() as i64).clamp(*low, *high)),
        }
    }

    /// An estimator over the parameter's places.
    fn estimator(&self) -> TpeOptimizer {
        let range =
            |start: f64, end: f64| tpe::range(start, end).expect("checked with the experiment");
        match self {
            Self::Grid(values) | Self::Choice(values) => {
                TpeOptimizer::new(tpe::histogram_estimator(), range(0.0, values.len() as f64))
            }
            Self::Uniform([low, high]) => {
                TpeOptimizer::new(tpe::parzen_estimator(), range(*low, high.next_up()))
            }
            Self::LogUniform([low, high]) => {
                TpeOptimizer::new(tpe::parzen_estimator(), range(low.ln(), high.ln().next_up()))
            }
            Self::Integer([low, high]) => {
                TpeOptimizer::new(tpe::parzen_estimator(), range(*low as f64, *high as f64 + 1.0))
            }
        }
    }

    /// Where a value lies for the estimator.
    fn place(&self, value: &Value) -> f64 {
        let number = || value.as_f64().unwrap_or(f64::NAN);
        match self {
            Self::Grid(values) | Self::Choice(values) => {
                values.iter().position(|other| other == value).map_or(f64::NAN, |i| i as f64)
            }
            Self::Uniform(_) => number(),
            Self::LogUniform([low, high]) => number().ln().clamp(low.ln(), high.ln()),
            // In the middle of the places that are rounded down to it.
            Self::Integer(_) => number() + 0.5,
        }
    }

    /// The value at a place.
    fn at(&self, place: f64) -> Value {
        match self {
            Self::Grid(values) | Self::Choice(values) => {
                values[(place as usize).min(values.len() - 1)].clone()
            }
            Self::Uniform([low, high]) => json!(place.clamp(*low, *high)),
            Self::LogUniform([low, high]) => json!(place.exp().clamp(*low, *high)),
            Self::Integer([low, high]) => json!((place.floor() as i64).clamp(*low, *high)),
        }
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
        crate::validation::check(&value).unwrap_or_else(|problems| panic!("{problems:?}"))
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

    #[test]
    fn every_place_is_a_value_and_back() {
        let parameters = [
            ParameterSpec::Choice(vec![json!("a"), json!("b"), json!([1])]),
            ParameterSpec::Uniform([-1.0, 2.0]),
            ParameterSpec::LogUniform([1e-7, 1e-2]),
            ParameterSpec::Integer([-2, 5]),
        ];
        let mut rng = stream(0, Purpose::Search, 0);
        for parameter in parameters {
            let mut estimator = parameter.estimator();
            for _ in 0..200 {
                let value = parameter.draw(&mut rng);
                let place = parameter.place(&value);
                estimator.tell(place, 0.0).expect("inside the range");
                let again = parameter.at(place);
                match (again.as_f64(), value.as_f64()) {
                    (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-12 * b.abs(), "{a}, {b}"),
                    _ => assert_eq!(again, value),
                }
            }
        }
    }

    #[test]
    fn the_parzen_estimator_looks_for_what_the_direction_says_in_every_parameter() {
        // Two parameters of the same range with different optima, and a choice.
        let experiment = experiment(json!({
            "parameters": {
                "agents.learner.training.algorithm.discount": { "uniform": [0.0, 1.0] },
                RATE: { "uniform": [0.0001, 1.0] },
                HIDDEN: { "choice": [[8], [16], [32]] },
            },
            "samples": 80,
            "sampler": { "name": "tpe" },
            "direction": "minimize",
        }));
        let loss = |sample: &Sample| {
            let discount = sample.values["agents.learner.training.algorithm.discount"].as_f64();
            let wrong = f64::from(u8::from(sample.values[HIDDEN] != json!([16])));
            (number(sample) - 0.2).abs() + (discount.expect("a number") - 0.9).abs() + wrong
        };
        let mut scored: Vec<(Sample, Option<f64>)> = Vec::new();
        loop {
            let round = next_samples(&experiment, &scored);
            if round.is_empty() {
                break;
            }
            scored.extend(round.into_iter().map(|sample| (sample.clone(), Some(loss(&sample)))));
        }
        let mean = |part: &[(Sample, Option<f64>)]| {
            part.iter().filter_map(|(_, loss)| *loss).sum::<f64>() / part.len() as f64
        };
        assert!(mean(&scored[60..]) < 0.5 * mean(&scored[..10]), "{scored:?}");
    }

    #[test]
    fn a_perturbed_value_is_scaled_within_its_range_or_the_next_of_its_list() {
        let next = |parameter: &ParameterSpec, value: Value| {
            [false, true].map(|up| parameter.neighbour(&value, [0.5, 2.0], up))
        };
        let uniform = ParameterSpec::Uniform([0.0, 1.0]);
        assert_eq!(next(&uniform, json!(0.25)), [json!(0.125), json!(0.5)]);
        assert_eq!(next(&uniform, json!(0.75)), [json!(0.375), json!(1.0)]);
        let log = ParameterSpec::LogUniform([1e-3, 1e-1]);
        assert_eq!(next(&log, json!(1e-3)), [json!(1e-3), json!(2e-3)]);
        let integer = ParameterSpec::Integer([1, 10]);
        assert_eq!(next(&integer, json!(3)), [json!(2), json!(6)]);
        let list = ParameterSpec::Choice(vec![json!("a"), json!("b"), json!("c")]);
        assert_eq!(next(&list, json!("b")), [json!("a"), json!("c")]);
        assert_eq!(next(&list, json!("c")), [json!("b"), json!("c")]);
    }
}
