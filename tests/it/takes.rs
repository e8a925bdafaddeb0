//! Takes: what lies beside them, and those of training episodes.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rushes::record::{Moment, TakeRecord};
use rushes::store::TrialDir;
use rushes::video::probe_file;
use serde_json::{Value, json};

use crate::cli::{essence, failure, output};

/// Runs an experiment and returns its run directory.
fn run(folder: &Path, experiment: &Value) -> PathBuf {
    let file = folder.join("experiment.json");
    fs::write(&file, experiment.to_string()).unwrap();
    let out = folder.join("output");
    let arguments = ["run", file.to_str().unwrap(), "--output", out.to_str().unwrap()];
    let ended = output(&arguments);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    PathBuf::from(String::from_utf8_lossy(&ended.stdout).trim()).parent().unwrap().to_owned()
}

fn learner(algorithm: Value, schedule: Value) -> Value {
    json!({
        "policy": { "type": "neural", "hidden": [8] },
        "training": { "algorithm": algorithm, "schedule": schedule },
    })
}

/// What lies beside a take: for each column its kind, its name and its numbers.
struct Numbers {
    frames: usize,
    columns: Vec<(String, String, i32, Vec<Option<f64>>)>,
}

impl Numbers {
    fn read(file: &Path) -> Self {
        let page = fs::read_to_string(file).unwrap();
        let packed = BASE64.decode(page.split('"').nth(1).unwrap().as_bytes()).unwrap();
        let content: Value =
            serde_json::from_reader(flate2::read::GzDecoder::new(&packed[..])).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let columns = content["columns"].as_array().unwrap().iter().map(|column| {
            let decimals = column["decimals"].as_i64().unwrap() as i32;
            let mut sum = 0;
            let deltas = column["deltas"].as_array().unwrap().iter();
            // As whole multiples of the last decimal.
            let values = deltas.map(|delta| {
                sum += delta.as_i64()?;
                Some(sum as f64)
            });
            (text(&column["kind"]), text(&column["name"]), decimals, values.collect())
        });
        let frames = content["frames"].as_u64().unwrap() as usize;
        Self { frames, columns: columns.collect() }
    }

    fn of(&self, kind: &str) -> Vec<&(String, String, i32, Vec<Option<f64>>)> {
        self.columns.iter().filter(|column| column.0 == kind).collect()
    }
}

/// The steps that `rushes play` prints of the first episode that was evaluated.
fn played(run: &Path, agent: &str) -> Vec<Value> {
    let arguments = ["play", run.to_str().unwrap(), agent, "--print", "--json"];
    let ended = output(&arguments);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = String::from_utf8(ended.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("step").is_some()).collect()
}

/// A list of numbers, or one number, as a list.
fn numbers(value: &Value) -> Vec<Option<f64>> {
    match value {
        Value::Array(values) => values.iter().map(Value::as_f64).collect(),
        value => vec![value.as_f64()],
    }
}

/// Every number beside a take is the one that `rushes play` prints for its seed, to the digits that are kept.
#[test]
fn what_lies_beside_a_take_is_what_play_prints() {
    let folder = tempfile::tempdir().unwrap();
    let cart_pole = run(
        folder.path(),
        &json!({
            "name": "explained",
            "environment": { "id": "CartPole-v1" },
            "agents": {
                "ppo": learner(json!({ "name": "ppo", "n_steps": 64 }), json!({ "steps": 512 })),
                "shared": learner(
                    json!({ "name": "a2c", "shared_trunk": true }), json!({ "steps": 100 })
                ),
                "dqn": learner(
                    json!({ "name": "dqn", "dueling": true, "learning_starts": 10 }),
                    json!({ "steps": 100 })
                ),
                "random": { "policy": { "type": "random" } },
            },
            "evaluation": { "episodes": 1, "mode": "explore" },
        }),
    );
    let pendulum = run(
        folder.path(),
        &json!({
            "name": "continuous",
            "environment": { "id": "Pendulum-v1" },
            "agents": {
                "ppo": learner(json!({ "name": "ppo", "n_steps": 64 }), json!({ "steps": 256 })),
                "sac": learner(json!({ "name": "sac", "learning_starts": 10 }), json!({ "steps": 40 })),
            },
            "evaluation": { "episodes": 1 },
        }),
    );
    let car = run(
        folder.path(),
        &json!({
            "name": "terms",
            "environment": { "id": "Taxi-v3" },
            "agents": {
                "table": {
                    "policy": { "type": "tabular" },
                    "training": { "algorithm": { "name": "q_learning" }, "schedule": { "episodes": 3 } },
                },
            },
            "evaluation": { "episodes": 1 },
            "recording": { "max_steps": 20 },
        }),
    );
    for (run, agent, kinds) in [
        (&cart_pole, "ppo", &[("probability", 2), ("value", 1), ("observation", 4)][..]),
        (&cart_pole, "shared", &[("probability", 2), ("value", 1)]),
        (&cart_pole, "dqn", &[("q_value", 2), ("value", 0), ("action", 1)]),
        (&cart_pole, "random", &[("probability", 0), ("reward", 1)]),
        (&pendulum, "ppo", &[("mean", 1), ("std", 1), ("value", 1), ("observation", 3)]),
        (&pendulum, "sac", &[("mean", 1), ("std", 1), ("action", 1)]),
        (&car, "table", &[("q_value", 6), ("info", 1), ("observation", 1)]),
    ] {
        let steps = Numbers::read(&run.join(format!("trials/{agent}--s0/after.numbers.html")));
        for &(kind, count) in kinds {
            assert_eq!(steps.of(kind).len(), count, "{agent}: {kind}");
        }
        let mut lines = played(run, agent);
        // The take of the taxi is cut.
        lines.truncate(steps.frames);
        assert_eq!(lines.len(), steps.frames, "{agent}");
        let mut compared = 0;
        for kind in [
            "action",
            "observation",
            "reward",
            "info",
            "probability",
            "mean",
            "std",
            "q_value",
            "value",
        ] {
            for (place, (_, name, decimals, kept)) in steps.of(kind).into_iter().enumerate() {
                assert_eq!(kept.len(), steps.frames);
                for (frame, (line, &kept)) in lines.iter().zip(kept).enumerate() {
                    let printed = match kind {
                        "action" | "observation" | "reward" => &line[kind],
                        "info" => &line["info"][name],
                        "probability" => &line["policy"]["probabilities"],
                        "q_value" => &line["policy"]["q_values"],
                        other => &line["policy"][other],
                    };
                    let place = if printed.is_array() { place } else { 0 };
                    let printed = numbers(printed).get(place).copied().flatten();
                    // The last frame of a take that is cut is one that nobody acts on.
                    if frame + 1 == steps.frames && kept.is_none() {
                        continue;
                    }
                    // Observations and actions are single precision, and printed as short as that is told apart.
                    let single = matches!(kind, "action" | "observation");
                    let exact = |value: f64| if single { f64::from(value as f32) } else { value };
                    let rounded =
                        printed.map(|value| (exact(value) * 10_f64.powi(*decimals)).round());
                    assert_eq!(kept, rounded, "{agent}: {kind} {name} at frame {frame}");
                    compared += usize::from(kept.is_some());
                }
            }
        }
        assert!(compared >= steps.frames, "{agent}: {compared} numbers");
    }
    let names = Numbers::read(&cart_pole.join("trials/ppo--s0/after.numbers.html"));
    let names: Vec<&str> = names.of("observation").iter().map(|column| &*column.1).collect();
    assert_eq!(names, ["cart position", "cart velocity", "pole angle", "pole angular velocity"]);
}

#[test]
fn what_lies_beside_a_take_is_small_and_can_be_left_out() {
    let experiment = |explain: bool| {
        json!({
            "name": "explained",
            "environment": { "id": "BipedalWalker-v3" },
            "agents": { "random": { "policy": { "type": "random" } } },
            "evaluation": { "episodes": 1 },
            "recording": { "explain": explain },
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let trial = run(folder.path(), &experiment(true)).join("trials/random--s0");
    let size = |name: &str| fs::metadata(trial.join(name)).unwrap().len();
    assert!(size("after.numbers.html") * 5 < size("after.mp4"), "{}", size("after.numbers.html"));
    let folder = tempfile::tempdir().unwrap();
    let trial = run(folder.path(), &experiment(false)).join("trials/random--s0");
    assert!(!trial.join("after.numbers.html").exists());
    assert_eq!(takes(&trial)[0].numbers, None);
}

fn takes(trial: &Path) -> Vec<TakeRecord> {
    TrialDir::new(trial.to_owned()).result().unwrap().takes
}

/// What a run's trials went through and learned, takes left out.
fn without_takes(run: &Path) -> Vec<(String, Vec<Value>, Option<Vec<u8>>)> {
    let mut trials = essence(run);
    for (_, events, _) in &mut trials {
        events.retain(|event| event["event"] != "take");
    }
    trials
}

/// Several copies, checkpoints that interrupt episodes, wrappers, and an algorithm that plays one episode at a time.
fn training_films(training: Value) -> Value {
    json!({
        "name": "films",
        "environment": { "id": "CartPole-v1", "wrappers": { "frame_skip": 2 } },
        "seeds": 2,
        "agents": {
            "ppo": learner(
                json!({ "name": "ppo", "n_envs": 3, "n_steps": 32, "batch_size": 32 }),
                json!({ "steps": 1500, "checkpoint_every": { "steps": 300 } })
            ),
            "reinforce": learner(
                json!({ "name": "reinforce" }), json!({ "episodes": 30, "checkpoint_every": 7 })
            ),
        },
        "evaluation": { "episodes": 1, "seed": 5 },
        "recording": { "before": false, "after": false, "training": training },
    })
}

#[test]
fn training_episodes_are_filmed_as_they_are_played_and_filming_changes_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let filmed = run(folders[0].path(), &training_films(json!({ "episodes": 10 })));
    let not_filmed = run(folders[1].path(), &training_films(Value::Null));
    assert_eq!(without_takes(&filmed), without_takes(&not_filmed));

    // One copy: the very episodes, by their returns and lengths.
    let trial = filmed.join("trials/reinforce--s0");
    let events = TrialDir::new(trial.clone()).events().unwrap().records;
    let episodes: Vec<(f64, u64)> = (events.iter())
        .filter_map(|record| match record.event {
            rushes::record::Event::Episode { r#return, length, .. } => Some((r#return, length?)),
            _ => None,
        })
        .collect();
    let shown = takes(&trial);
    let names: Vec<&str> = shown.iter().map(|take| take.file.as_str()).collect();
    assert_eq!(names, ["episode-0.mp4", "episode-10.mp4", "episode-20.mp4"]);
    for (take, number) in shown.iter().zip([0, 10, 20]) {
        assert_eq!(take.moment, Moment::Training);
        let (r#return, length) = episodes[number];
        assert_eq!((take.take.returns[0], u64::from(take.take.lengths[0])), (r#return, length));
        assert_eq!(take.take.rewards[0].len() as u64, length);
        assert!(take.take.cut.is_empty());
        let facts = probe_file(&trial.join(&take.file)).unwrap();
        assert_eq!(facts.frames, length + 1, "the last state too");
        assert!(trial.join(&take.poster).is_file());
        let steps = Numbers::read(&trial.join(take.numbers.as_ref().unwrap()));
        assert_eq!((steps.frames as u64, steps.of("observation").len()), (length + 1, 4));
    }
    // In the log, each behind its episode.
    let at: Vec<u64> = (events.iter())
        .filter(|record| matches!(record.event, rushes::record::Event::Take(_)))
        .map(|record| record.progress.episodes)
        .collect();
    assert_eq!(at, [1, 11, 21]);
    // Several: the first copy's next whole episode.
    let shown = takes(&filmed.join("trials/ppo--s0"));
    assert!(shown.len() > 3, "{} takes", shown.len());
    assert!(takes(&filmed.join("trials/ppo--s1")).is_empty(), "one seed is filmed");
    assert!(shown.iter().all(|take| filmed.join("trials/ppo--s0").join(&take.file).is_file()));
}

#[test]
fn of_a_population_the_first_candidates_episodes_are_filmed_and_filming_changes_nothing() {
    let experiment = |training: Value| {
        let mut experiment = training_films(training);
        let normalised = json!({
            "name": "cem", "population_size": 6, "threads": 2, "normalize_observations": true,
        });
        let schedule = json!({ "episodes": 40, "checkpoint_every": 7 });
        experiment["agents"] = json!({
            "cem": learner(normalised, schedule.clone()),
            "es": learner(json!({ "name": "openai_es", "pairs": 3 }), schedule),
        });
        experiment
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let filmed = run(folders[0].path(), &experiment(json!({ "episodes": 10 })));
    let not_filmed = run(folders[1].path(), &experiment(Value::Null));
    assert_eq!(without_takes(&filmed), without_takes(&not_filmed));
    for agent in ["cem", "es"] {
        let trial = filmed.join(format!("trials/{agent}--s0"));
        let events = TrialDir::new(trial.clone()).events().unwrap().records;
        let returns: Vec<f64> = (events.iter())
            .filter_map(|record| match record.event {
                rushes::record::Event::Episode { r#return, .. } => Some(r#return),
                _ => None,
            })
            .collect();
        let shown = takes(&trial);
        let names: Vec<&str> = shown.iter().map(|take| take.file.as_str()).collect();
        let expected = ["episode-0.mp4", "episode-12.mp4", "episode-24.mp4", "episode-30.mp4"];
        assert_eq!(names, expected, "each generation has six");
        for (take, number) in shown.iter().zip([0, 12, 24, 30]) {
            assert_eq!(take.take.returns, [returns[number]], "{agent}, {number}");
        }
    }
}

#[test]
fn a_schedule_of_training_films_is_gymnasiums_or_a_period() {
    let folder = tempfile::tempdir().unwrap();
    let shown =
        takes(&run(folder.path(), &training_films(json!("cubic"))).join("trials/reinforce--s0"));
    let names: Vec<&str> = shown.iter().map(|take| take.file.as_str()).collect();
    assert_eq!(names, ["episode-0.mp4", "episode-1.mp4", "episode-8.mp4", "episode-27.mp4"]);
    let file = folder.path().join("experiment.json");
    for wrong in [json!("square"), json!({ "episodes": 0 }), json!({ "steps": 10 }), json!(10)] {
        fs::write(&file, training_films(wrong.clone()).to_string()).unwrap();
        let (code, stderr) = failure(&["validate", file.to_str().unwrap()]);
        assert_eq!(code, 2, "{wrong}: {stderr}");
        assert!(stderr.contains("recording.training"), "{wrong}: {stderr}");
    }
}
