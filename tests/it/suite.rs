//! Suites: experiments over several environments.

use std::path::{Path, PathBuf};

use rushes::experiment::Plan;
use rushes::results::suite::{self, Aggregate, SuiteRun, SuiteScores};
use rushes::results::{RunData, Summary};
use rushes::store::RunDir;
use rushes::validation;
use serde_json::{Value, json};

use crate::cli::{failure, output};

/// Two environments in which tables and rules are learned in no time.
fn experiment() -> Value {
    json!({
        "name": "small",
        "environments": {
            "lake": { "id": "FrozenLake-v1", "options": { "is_slippery": false } },
            "cliff": { "id": "CliffWalking-v1" },
        },
        "scores": { "cliff": { "reference": -13 } },
        "seeds": 3,
        "agents": {
            "random": { "policy": { "type": "random" } },
            "q": {
                "policy": { "type": "tabular" },
                "training": {
                    "algorithm": { "name": "q_learning" },
                    "schedule": { "steps": 3000, "evaluate_every": 1000 },
                },
                "environments": {
                    "cliff": { "training": { "algorithm": { "learning_rate": 0.5 }, "schedule": { "steps": 4000 } } },
                },
            },
            "shy": { "policy": { "type": "random" }, "environments": { "cliff": null } },
        },
        "evaluation": { "episodes": 5, "training_episodes": 3, "max_episode_steps": 200 },
        "recording": { "before": false, "after": false },
    })
}

fn write(folder: &Path, experiment: &Value) -> PathBuf {
    let file = folder.join("experiment.json");
    std::fs::write(&file, experiment.to_string()).unwrap();
    file
}

/// Runs an experiment and gives its run.
fn run(folder: &Path, experiment: &Value, arguments: &[&str]) -> RunDir {
    let file = write(folder, experiment);
    let common = ["run", file.to_str().unwrap(), "--output", folder.to_str().unwrap()];
    let made = output(&[&common, arguments].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let name = experiment["name"].as_str().unwrap();
    RunDir::open(&RunDir::latest(folder, name).unwrap()).unwrap()
}

/// The events of a trial without what differs between two equal ones.
fn events(run: &RunDir, trial: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.trial(trial).path().join("events.jsonl")).unwrap();
    let event = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event.as_object_mut().unwrap().remove("seconds");
        event
    };
    text.lines().map(event).collect()
}

fn problems(change: impl Fn(&mut Value)) -> String {
    let mut experiment = experiment();
    change(&mut experiment);
    let problems = validation::check(&experiment).expect_err("a mistake");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_trial_of_a_suite_is_that_of_an_experiment_in_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let suite = run(folder.path(), &experiment(), &[]);
    let ids: Vec<String> = suite.plan().unwrap().trials().map(|trial| trial.id.clone()).collect();
    assert_eq!(ids.len(), 3 * 3 + 3 * 2, "{ids:?}");
    assert_eq!(ids[0], "lake--random--s0");
    let mut alone = experiment();
    let mut q = alone["agents"]["q"].take();
    q.as_object_mut().unwrap().remove("environments");
    q["training"]["algorithm"]["learning_rate"] = json!(0.5);
    q["training"]["schedule"]["steps"] = json!(4000);
    alone["name"] = json!("alone");
    alone["environment"] = json!({ "id": "CliffWalking-v1" });
    alone["agents"] = json!({ "q": q });
    let fields = alone.as_object_mut().unwrap();
    fields.remove("environments");
    fields.remove("scores");
    let alone = run(folder.path(), &alone, &[]);
    for seed in 0..3 {
        let of_suite = events(&suite, &format!("cliff--q--s{seed}"));
        assert_eq!(of_suite, events(&alone, &format!("q--s{seed}")));
        assert!(of_suite.len() > 10);
    }
}

#[test]
fn what_only_names_runs_and_a_resume_runs_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(folder.path(), &experiment(), &[]);
    let second = tempfile::tempdir().unwrap();
    let part = run(second.path(), &experiment(), &["--only", "cliff", "--only", "*/q/1"]);
    let ran = |run: &RunDir| -> Vec<String> {
        let plan = run.plan().unwrap();
        let trials = plan.trials().map(|trial| trial.id.clone());
        trials.filter(|id| run.trial(id).result().is_ok()).collect()
    };
    let expected = ["lake--q--s1", "cliff--random", "cliff--q"];
    assert_eq!(ran(&part).len(), 1 + 3 + 3);
    assert!(ran(&part).iter().all(|id| expected.iter().any(|name| id.starts_with(name))));
    let resume = format!("--resume={}", part.path().display());
    let resumed = output(&["run", &resume]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let agents = |run: &RunDir| {
        let mut summary: Value =
            serde_json::from_str(&std::fs::read_to_string(run.summary()).unwrap()).unwrap();
        for agent in summary["agents"].as_array_mut().unwrap() {
            for seed in agent["seeds"].as_array_mut().unwrap() {
                for name in ["training_seconds", "steps_per_second", "peak_memory_bytes", "curve"] {
                    seed.as_object_mut().unwrap().remove(name);
                }
                for name in ["evaluations", "threshold_reached", "goal_reached"] {
                    if seed[name].is_object() {
                        seed[name].as_object_mut().unwrap().remove("seconds");
                    }
                }
            }
        }
        summary["agents"].take()
    };
    assert_eq!(agents(&part), agents(&whole));
    let file = write(second.path(), &experiment());
    let common = ["run", file.to_str().unwrap(), "--output", second.path().to_str().unwrap()];
    let (_, none) = failure(&[&common[..], &["--only", "clif/*"]].concat());
    assert!(none.contains("no trial is called `clif/*`"), "{none}");
    assert!(none.contains("ENVIRONMENT/AGENT/SEED"), "{none}");
}

#[test]
fn mistakes_are_told_where_they_are_written() {
    for (problem, expected) in [
        (
            problems(|e| e["environment"] = json!({ "id": "CartPole-v1" })),
            "environment: expected `environment` or `environments`, found both",
        ),
        (
            problems(|e| e["agents"]["q"]["environments"]["clif"] = json!({})),
            "agents.q.environments.clif: unknown environment `clif`; did you mean `cliff`?",
        ),
        (
            problems(|e| e["scores"]["swamp"] = json!({ "random": 1 })),
            "scores.swamp: unknown environment `swamp`",
        ),
        (
            problems(|e| {
                e["agents"]["q"]["environments"]["cliff"]["training"]["algorithm"]["learning_rat"] =
                    json!(1)
            }),
            "agents.q.environments.cliff.training.algorithm.learning_rat: unknown key",
        ),
        (
            problems(|e| e["agents"]["q"]["training"]["algorithm"]["name"] = json!("ppo")),
            "agents.q",
        ),
        (
            problems(|e| e["environments"]["lake"]["options"]["slip"] = json!(1)),
            "environments.lake.options.slip",
        ),
        (
            problems(|e| e["environments"]["again"] = json!({ "id": "CliffWalking-v1" })),
            "environments.again: the same environment as `cliff`",
        ),
        (
            problems(|e| {
                e["agents"] = json!({ "shy": e["agents"]["shy"] });
            }),
            "environments.cliff: no agent plays in this environment",
        ),
        (
            problems(|e| e["scores"]["cliff"]["random"] = json!(0)),
            "scores.cliff: expected a reference above `random`",
        ),
        (
            problems(|e| {
                let path = "agents.q.environments.cliff.training.algorithm.gamma";
                e["search"] = json!({ "parameters": { path: { "grid": [0.5, 0.9] } } });
            }),
            "settings of one environment are not searched for",
        ),
        (
            problems(|e| {
                e["environment"] = e["environments"]["cliff"].take();
                e.as_object_mut().unwrap().remove("environments");
            }),
            "agents.q.environments: only a suite",
        ),
        (problems(|e| e["environments"]["a--b"] = json!({ "id": "CartPole-v1" })), "environments"),
    ] {
        assert!(problem.contains(expected), "{problem}\n  is not\n{expected}");
    }
    // The same mistake in every environment is one.
    let twice = problems(|e| {
        e["agents"]["q"]["training"]["algorithm"]["epsilon_strat"] = json!(1);
    });
    assert_eq!(twice.matches("unknown key").count(), 1, "{twice}");
}

#[test]
fn the_gate_has_one_error_rate_and_measures_agents_within_their_environment() {
    let folder = tempfile::tempdir().unwrap();
    let suite = run(folder.path(), &experiment(), &[]);
    let baseline = folder.path().join("baseline.json");
    let (path, file) = (suite.path().to_str().unwrap(), baseline.to_str().unwrap());
    let made = output(&["baseline", path, "-o", file]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let checked = output(&["check", path, "--baseline", file, "--json"]);
    let decision: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(decision["verdict"], "held");
    let comparisons = decision["comparisons"].as_array().unwrap();
    let names: Vec<&str> = comparisons.iter().map(|c| c["agent"].as_str().unwrap()).collect();
    for name in ["lake/random", "lake/q", "lake/shy", "cliff/random", "cliff/q"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let range = |agent: &str| {
        let of = |c: &&Value| c["agent"] == agent && c["metric"] == "return";
        comparisons.iter().find(of).unwrap()["range"].as_f64().unwrap()
    };
    // Returns of the lake lie between 0 and 1, those of the cliff are hundreds apart.
    assert!(range("lake/q") <= 1.0 && range("cliff/q") > 50.0);
}

#[test]
fn a_search_is_over_all_environments() {
    let mut experiment = experiment();
    experiment["scores"] = json!({
        "lake": { "random": 0, "reference": 1 },
        "cliff": { "random": -1000, "reference": -13 },
    });
    experiment["seeds"] = json!(2);
    experiment["search"] = json!({ "parameters": {
        "agents.q.training.algorithm.gamma": { "grid": [0.0, 0.95] },
    } });
    let folder = tempfile::tempdir().unwrap();
    let searched = run(folder.path(), &experiment, &[]);
    let plan: Plan = searched.plan().unwrap();
    let of_samples = plan.trials.iter().filter(|trial| trial.sample.is_some());
    assert_eq!(of_samples.count(), 2 * 2 * 2, "samples, environments, seeds");
    let summary: Summary =
        serde_json::from_str(&std::fs::read_to_string(searched.summary()).unwrap()).unwrap();
    let samples = &summary.search.as_ref().unwrap().agents[0].samples;
    assert_eq!(samples[0].number, 1, "who looks ahead finds the goal");
    assert_eq!(samples[0].score.seeds.len(), 4);
    let range = |value: f64, random: f64, reference: f64| (value - random) / (reference - random);
    let mean = |name: &str| {
        let agent = summary.agents.iter().find(|agent| agent.name == name).unwrap();
        let of = |returns: &Vec<f64>| returns.iter().sum::<f64>() / returns.len() as f64;
        agent.seeds.iter().map(|seed| of(&seed.final_returns)).collect::<Vec<_>>()
    };
    let lake = mean("lake/q").into_iter().map(|value| range(value, 0.0, 1.0));
    let cliff = mean("cliff/q").into_iter().map(|value| range(value, -1000.0, -13.0));
    let expected = lake.chain(cliff).collect::<Vec<_>>();
    assert_eq!(samples[0].score.seeds, expected);
    // Without a common measure nothing can be added up.
    experiment.as_object_mut().unwrap().remove("scores");
    let problems = validation::check(&experiment).expect_err("no measure");
    assert!(problems[0].to_string().contains("scores.lake"), "{}", problems[0]);
}

#[test]
fn settings_of_an_environment_are_not_searched_for() {
    let mut experiment = experiment();
    experiment["search"] = json!({ "metric": "steps_to_threshold", "threshold": 0.5, "parameters": {
        "agents.q.training.algorithm.learning_rate": { "grid": [0.1, 0.5] },
    } });
    let problems = validation::check(&experiment).expect_err("two say it");
    assert!(problems[0].to_string().contains("settings for cliff"), "{}", problems[0]);
}

#[test]
fn the_page_has_an_overview_and_a_section_for_each_environment() {
    let folder = tempfile::tempdir().unwrap();
    let suite = run(folder.path(), &experiment(), &[]);
    let page = std::fs::read_to_string(suite.report()).unwrap();
    for part in ["id=\"suite\"", "id=\"environment-lake\"", "id=\"environment-cliff\""] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("No figures over all environments for shy: it does not play in cliff."));
    let data = RunData::read(&suite).unwrap();
    let of_suite =
        SuiteRun { name: None, experiment: &data.plan.experiment, summary: &data.summary };
    let scores = SuiteScores::of(&[of_suite]).unwrap();
    let q = scores.agents.iter().find(|agent| agent.name == "q").unwrap();
    let random = |name: &str| {
        let agent = data.summary.agents.iter().find(|agent| agent.name == name).unwrap();
        let returns: Vec<f64> = agent.seeds.iter().flat_map(|s| s.final_returns.clone()).collect();
        returns.iter().sum::<f64>() / returns.len() as f64
    };
    // 0 is what the random agents of the environment earned, 1 its reward threshold or what the file says.
    let cliff = random("cliff/random");
    let normalised = |value: f64| (value - cliff) / (-13.0 - cliff);
    let expected: Vec<f64> = q.returns[1].iter().map(|value| normalised(*value)).collect();
    let found = &q.scores.as_ref().unwrap()[1];
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    assert_eq!(q.efficiency.len(), 41);
}

#[test]
fn runs_of_a_suite_are_compared_over_all_environments() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &experiment(), &[]);
    let slow = "agents.q.training.algorithm.learning_rate=0.01";
    let second = run(folder.path(), &experiment(), &["--set", slow, "--label", "slow"]);
    let page = folder.path().join("page.html");
    let compared = |runs: [&RunDir; 2]| {
        let [first, last] = runs.map(|run| run.path().to_str().unwrap());
        output(&["report", first, last, "--output", page.to_str().unwrap()]);
        std::fs::read_to_string(&page).unwrap()
    };
    let text = compared([&first, &second]);
    for part in ["id=\"suite\"", "id=\"environment-cliff\"", "q · A has the highest", "q · slow"]
    {
        assert!(text.contains(part), "{part}");
    }

    // One scale: that of the first run.
    let [one, other] = [&first, &second].map(|run| RunData::read(run).unwrap());
    let [one, other] = [(&one, "A"), (&other, "B")].map(|(data, name)| SuiteRun {
        name: Some(name),
        experiment: &data.plan.experiment,
        summary: &data.summary,
    });
    let scores = SuiteScores::of(&[one, other]).unwrap();
    let alone = SuiteScores::of(&[one]).unwrap();
    assert_eq!(scores.environments, alone.environments);
    let labels: Vec<&str> = scores.whole().map(|(agent, _)| &*agent.label).collect();
    assert_eq!(labels, ["random · A", "q · A", "random · B", "q · B"]);
    assert_eq!(scores.agents[..alone.agents.len()], alone.agents[..]);

    let mut third = experiment();
    third["environments"]["lake"]["options"]["is_slippery"] = json!(true);
    let third = run(folder.path(), &third, &[]);
    assert!(!compared([&first, &third]).contains("id=\"suite\""), "other lakes");
}

/// `scores.json` is what rliable 1.2.0 computed.
#[test]
fn figures_over_environments_are_those_of_rliable() {
    let text = include_str!("../goldens/rliable/scores.json");
    let recorded: Value = serde_json::from_str(text).unwrap();
    let numbers = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
    let near = |found: f64, expected: f64, tolerance: f64, what: &str| {
        assert!((found - expected).abs() <= tolerance, "{what}: {found}, rliable {expected}");
    };
    let thresholds = numbers(&recorded["thresholds"]);
    for pair in recorded["pairs"].as_array().unwrap() {
        let x: Vec<Vec<f64>> = serde_json::from_value(pair["x"].clone()).unwrap();
        let y: Vec<Vec<f64>> = serde_json::from_value(pair["y"].clone()).unwrap();
        let points = numbers(&pair["figures"]);
        for (index, aggregate) in Aggregate::ALL.into_iter().enumerate() {
            near(aggregate.of(&x).unwrap(), points[index], 1e-12, aggregate.name());
            // Both are draws of a bootstrap: equal up to its noise, a tenth of the interval where scores have ties.
            let ends = numbers(&pair["intervals"][index]);
            let interval = aggregate.interval(&x).unwrap();
            let noise = 0.1 * (ends[1] - ends[0]) + 1e-12;
            near(interval.low, ends[0], noise, aggregate.name());
            near(interval.high, ends[1], noise, aggregate.name());
        }
        let (improvement, interval) = suite::improvement(&x, &y).unwrap();
        near(improvement, pair["improvement"].as_f64().unwrap(), 1e-12, "improvement");
        let ends = numbers(&pair["improvement_interval"]);
        let interval = interval.unwrap();
        let noise = 0.1 * (ends[1] - ends[0]) + 1e-12;
        near(interval.low, ends[0], noise, "improvement");
        near(interval.high, ends[1], noise, "improvement");
        let profile = suite::performance_profile(&x, &thresholds);
        for (found, expected) in profile.into_iter().zip(numbers(&pair["profile"])) {
            near(found, expected, 1e-12, "profile");
        }
    }
}
