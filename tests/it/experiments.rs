//! Experiment files: the shipped ones are valid, the schema is current, and broken ones are explained.

use std::path::{Path, PathBuf};

use rushes::store::TrialDir;
use rushes::validation;

use crate::cli::{failure, output};

pub(crate) fn shipped() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let mut files = Vec::new();
    for folder in [root.clone(), root.join("tutorials"), root.join("mujoco")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            files.extend(path.extension().is_some_and(|e| e == "json").then_some(path));
        }
    }
    assert!(files.len() >= 5, "the shipped experiments are found");
    files
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/experiment.schema.json");
    let committed: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(committed, validation::schema(), "run `just schema` and commit what it writes");
}

#[test]
fn the_committed_reference_is_the_generated_one_and_its_links_lead_somewhere() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let committed = std::fs::read_to_string(path).unwrap();
    let output = output(&["schema", "--markdown"]);
    let generated = String::from_utf8(output.stdout).unwrap();
    assert!(committed == generated, "run `just schema` and commit what it writes");

    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    let headings = generated.lines().filter_map(|line| line.strip_prefix('#'));
    let anchors: Vec<_> =
        headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect();
    let links: Vec<_> =
        generated.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 30, "only {} links", links.len());
    for link in links {
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link} leads nowhere");
    }
}

#[test]
fn shipped_experiments_are_valid_and_named_like_their_files() {
    for file in shipped() {
        let spec = validation::load(&file, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Some(spec.name.as_str()), file.file_stem().and_then(|stem| stem.to_str()));
        assert!(!rushes::search::plan(spec).expect("values that fit").trials.is_empty());
    }
}

#[test]
fn shipped_experiments_run() {
    let directory = tempfile::tempdir().unwrap();
    for file in shipped() {
        let mut arguments = vec!["run", file.to_str().unwrap(), "--quick"];
        arguments.extend(["--output", directory.path().to_str().unwrap()]);
        // Films are other tests' business, and slow.
        arguments.extend(["--set", "recording.before=false", "--set", "recording.after=false"]);
        // So are long episodes, of agents that plan above all.
        arguments.extend(["--set", "environment.max_episode_steps=60"]);
        let output = output(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", file.display());
    }
}

#[test]
fn a_resolved_experiment_is_the_same_experiment() {
    for file in shipped() {
        let spec = validation::load(&file, &[]).unwrap();
        let resolved = output(&["validate", "--resolved", file.to_str().unwrap()]);
        let value = serde_json::from_slice(&resolved.stdout).unwrap();
        assert_eq!(validation::check(&value), Ok(spec), "{}", file.display());
    }
}

/// A valid experiment; every broken one differs from it in one place.
const BASE: &str = r#"{
  "name": "broken",
  "environment": { "id": "CartPole-v1" },
  "seeds": [0, 1],
  "agents": {
    "rule": { "policy": { "type": "hard-coded", "rule": "if obs[2] < 0.0 { 0 } else { 1 }" } },
    "learner": {
      "policy": { "type": "neural", "hidden": [16] },
      "training": {
        "algorithm": { "name": "reinforce", "learning_rate": 0.01 },
        "schedule": { "episodes": 10, "stop": { "mean_return": 400 }, "evaluate_every": 5 }
      }
    }
  },
  "evaluation": { "episodes": 5 }
}
"#;

/// What is broken, by which replacement in [`BASE`].
const BROKEN: &[(&str, &str, &str)] = &[
    ("truncated", "\"evaluation\": { \"episodes\": 5 }\n}", "\"evaluation\": { "),
    ("trailing comma", "\"episodes\": 5 }\n}", "\"episodes\": 5 },\n}"),
    ("a comment", "  \"seeds\"", "  // how many\n  \"seeds\""),
    ("unknown key at the top", "\"seeds\"", "\"seed\""),
    ("unknown key far down", "\"learning_rate\"", "\"learning_rat\""),
    ("a key of nothing known", "\"hidden\"", "\"quux\""),
    ("the same key twice", "\"seeds\": [0, 1],", "\"seeds\": [0, 1],\n  \"seeds\": [2],"),
    ("missing environment", "\"environment\": { \"id\": \"CartPole-v1\" },\n", ""),
    ("missing id", "{ \"id\": \"CartPole-v1\" }", "{}"),
    ("unknown environment", "CartPole-v1", "CartPol-v1"),
    ("an environment like none", "CartPole-v1", "Quake"),
    ("unknown option", "\"CartPole-v1\" }", "\"CartPole-v1\", \"options\": { \"gravity\": 1 } }"),
    (
        "option of the wrong type",
        "\"CartPole-v1\" }",
        "\"CartPole-v1\", \"options\": { \"low\": \"x\" } }",
    ),
    ("time limit of zero", "\"CartPole-v1\" }", "\"CartPole-v1\", \"max_episode_steps\": 0 }"),
    ("no seeds", "[0, 1]", "[]"),
    ("a billion seeds", "[0, 1]", "1000000000"),
    ("a seed twice", "[0, 1]", "[1, 1]"),
    ("a negative seed", "[0, 1]", "[-1]"),
    ("half a seed", "[0, 1]", "[0.5]"),
    ("seeds as text", "[0, 1]", "\"many\""),
    ("a bad name", "\"broken\"", "\"../broken\""),
    ("an empty name", "\"broken\"", "\"\""),
    ("unknown policy type", "\"neural\"", "\"neuronal\""),
    ("no policy type", "\"type\": \"neural\", ", ""),
    ("policy type of the wrong type", "\"neural\"", "7"),
    ("unknown algorithm", "\"reinforce\"", "\"reinforcement\""),
    ("unknown activation", "\"hidden\": [16]", "\"hidden\": [16], \"activation\": \"rellu\""),
    ("a layer of nothing", "[16]", "[0]"),
    ("a layer too wide", "[16]", "[100000]"),
    ("dropout of everything", "\"hidden\": [16]", "\"hidden\": [16], \"dropout\": 1.0"),
    (
        "convolutions that see no picture",
        "\"hidden\": [16]",
        "\"convolutions\": [{ \"channels\": 4, \"kernel\": 3 }]",
    ),
    (
        "an unknown kind of observation",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixel\" }",
    ),
    (
        "pixels in an unknown colour",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"channels\": \"grey\" }",
    ),
    (
        "a patch of no pixels",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"width\": 0 }",
    ),
    (
        "a patch larger than the picture",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"height\": 500 }",
    ),
    (
        "a crop larger than the picture",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"crop\": { \"width\": 700, \"height\": 100 } }",
    ),
    (
        "a patch that magnifies its crop",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"crop\": { \"width\": 100, \"height\": 50 } }",
    ),
    (
        "a crop without a height",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"crop\": { \"width\": 100 } }",
    ),
    (
        "too long a stack",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"stack\": 17 }",
    ),
    (
        "a kernel larger than what arrives",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\", \"width\": 20, \"height\": 12 }, \"convolutions\": [{ \"channels\": 4, \"kernel\": 4, \"stride\": 3 }, { \"channels\": 4, \"kernel\": 4 }]",
    ),
    (
        "a kernel of nothing",
        "\"hidden\": [16]",
        "\"observation\": { \"type\": \"pixels\" }, \"convolutions\": [{ \"channels\": 4, \"kernel\": 0 }]",
    ),
    ("negative learning rate", "0.01", "-0.01"),
    ("learning rate of zero", "0.01", "0"),
    ("learning rate as text", "0.01", "\"fast\""),
    ("a discount above one", "\"learning_rate\": 0.01", "\"discount\": 1.5"),
    ("a schedule without length", "\"episodes\": 10, ", ""),
    ("zero episodes", "\"episodes\": 10", "\"episodes\": 0"),
    ("a stop rule without target", "{ \"mean_return\": 400 }", "{ \"window\": 5 }"),
    ("a target of another word", "\"mean_return\": 400", "\"mean_return\": \"max\""),
    ("a period of zero", "\"evaluate_every\": 5", "\"evaluate_every\": 0"),
    (
        "a period in an unknown unit",
        "\"evaluate_every\": 5",
        "\"evaluate_every\": { \"hours\": 1 }",
    ),
    (
        "a period in two units",
        "\"evaluate_every\": 5",
        "\"evaluate_every\": { \"steps\": 1, \"updates\": 1 }",
    ),
    ("a rule that does not parse", "else { 1 }", "else { 1"),
    ("a rule with an unknown name", "obs[2]", "angle"),
    ("neither rule nor name", "\"rule\": \"if obs[2] < 0.0 { 0 } else { 1 }\"", "\"rule\": null"),
    (
        "an unknown built-in policy",
        "\"rule\": \"if obs[2] < 0.0 { 0 } else { 1 }\"",
        "\"name\": \"perfect\"",
    ),
    (
        "a rule that learns",
        "else { 1 }\" } }",
        "else { 1 }\" }, \"training\": { \"algorithm\": { \"name\": \"reinforce\" }, \"schedule\": { \"episodes\": 1 } } }",
    ),
    (
        "a take of no episodes",
        "\"evaluation\"",
        "\"recording\": { \"episodes\": 0 },\n  \"evaluation\"",
    ),
    ("an algorithm for other actions", "CartPole-v1", "Pendulum-v1"),
    ("an algorithm for continuous actions", "\"reinforce\"", "\"sac\""),
    (
        "an entropy coefficient of another word",
        "{ \"name\": \"reinforce\", \"learning_rate\": 0.01 }",
        "{ \"name\": \"sac\", \"ent_coef\": \"automatic\" }",
    ),
    (
        "a negative entropy coefficient",
        "{ \"name\": \"reinforce\", \"learning_rate\": 0.01 }",
        "{ \"name\": \"sac\", \"ent_coef\": -1 }",
    ),
    (
        "two kinds of noise",
        "{ \"name\": \"reinforce\", \"learning_rate\": 0.01 }",
        "{ \"name\": \"td3\", \"action_noise\": { \"normal\": 0.1, \"ornstein_uhlenbeck\": 0.1 } }",
    ),
    (
        "noise of an unknown kind",
        "{ \"name\": \"reinforce\", \"learning_rate\": 0.01 }",
        "{ \"name\": \"td3\", \"action_noise\": { \"pink\": 0.1 } }",
    ),
    (
        "no critics",
        "{ \"name\": \"reinforce\", \"learning_rate\": 0.01 }",
        "{ \"name\": \"td3\", \"n_critics\": 0 }",
    ),
    ("a planner that learns", "\"type\": \"neural\", \"hidden\": [16]", "\"type\": \"planning\""),
    (
        "an unknown planner",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"model_based_planning\", \"planner\": { \"name\": \"cme\" }",
    ),
    (
        "a setting of another planner",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"model_based_planning\", \"planner\": { \"name\": \"exhaustive\", \"iterations\": 3 }",
    ),
    ("an agent whose name turns the line", "\"learner\"", "\"lear\\u202ener\""),
    (
        "a search without end",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"model_based_planning\", \"planner\": { \"name\": \"exhaustive\", \"candidates\": 10, \"depth\": 12 }",
    ),
    (
        "rewards further ahead than anything is kept",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"model_free_planning\", \"horizon\": 5, \"buffer_size\": 4",
    ),
    (
        "a number that single precision calls zero",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01, \"adam_epsilon\": 1e-320",
    ),
    (
        "candidates around a discrete action",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"model_free_planning\", \"proposal\": \"last_action\"",
    ),
    (
        "predicted rewards through a sigmoid",
        "\"hidden\": [16] },\n      \"training\": {\n        \"algorithm\": { \"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"hidden\": [16], \"head\": \"sigmoid\" },\n      \"training\": {\n        \"algorithm\": { \"name\": \"model_based_planning\"",
    ),
    (
        "everything held out",
        "\"name\": \"reinforce\", \"learning_rate\": 0.01",
        "\"name\": \"model_free_planning\", \"validation_fraction\": 1.0",
    ),
    (
        "an evaluation seed that cannot be counted up from",
        "{ \"episodes\": 5 }",
        "{ \"episodes\": 5, \"seed\": 18446744073709551615 }",
    ),
    (
        "an evaluation seed among those of training",
        "{ \"episodes\": 5 }",
        "{ \"episodes\": 5, \"seed\": 4000000000000000001 }",
    ),
    ("zero evaluation episodes", "{ \"episodes\": 5 }", "{ \"episodes\": 0 }"),
    ("no agents", "\"evaluation\": { \"episodes\": 5 }", "\"agents\": {}"),
    ("not an object", BASE, "[1, 2, 3]"),
    ("empty", BASE, ""),
];

#[test]
fn the_largest_evaluation_seed_can_be_counted_up_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large.json");
    let large = "\"episodes\": 5, \"seed\": 4000000000000000000, \"training_episodes\": 3";
    std::fs::write(&file, BASE.replace("\"episodes\": 5 }\n}", &format!("{large} }}\n}}")))
        .unwrap();
    let output_directory = directory.path().to_str().unwrap();
    let run = output(&["run", file.to_str().unwrap(), "--output", output_directory]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let trial = directory.path().join("broken/latest/trials/learner--s0");
    let evaluation = TrialDir::new(trial).result().unwrap().after.unwrap();
    assert_eq!((evaluation.seed, evaluation.returns.len()), (Some(4_000_000_000_000_000_000), 5));
}

#[test]
fn broken_files_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let mut messages = String::new();
    for (index, (what, find, replace)) in BROKEN.iter().enumerate() {
        assert!(BASE.contains(find), "`{what}` changes nothing");
        let file = directory.path().join("broken.json");
        std::fs::write(&file, BASE.replacen(find, replace, 1)).unwrap();
        let path = file.to_str().unwrap();
        // The whole way once in a while; the checks themselves every time.
        let message = if index % 10 == 0 {
            let (code, stderr) = failure(&["validate", path]);
            assert_eq!(code, 2, "{what}: {stderr}");
            stderr
        } else {
            validation::load(&file, &[]).expect_err(what).to_string()
        };
        let message = message.trim().replace(path, "broken.json");
        assert!(message.starts_with("broken.json:"), "{what}: {message}");
        messages += &format!("{what}\n    {}\n", message.replace('\n', "\n    "));
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn files_that_are_not_there_and_impossible_overrides_are_refused() {
    for (arguments, expected) in [
        (vec!["run", "experiments/nothing.json"], "failed to read the experiment"),
        (vec!["validate", "experiments"], "Is a directory"),
        (vec!["validate", "experiments/smoke.json", "--set", "name.first=x"], "has no field"),
        (vec!["validate", "experiments/smoke.json", "--set", "seedz=3"], "did you mean `seeds`"),
        (
            vec!["run", "experiments/smoke.json", "--output", "/proc/nowhere"],
            "failed to create the output directory",
        ),
    ] {
        let (code, stderr) = failure(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    for arguments in [vec!["frobnicate"], vec!["run"], vec!["run", "x.json", "--jobs", "0"]] {
        assert_eq!(failure(&arguments).0, 3, "{arguments:?}");
    }
}

#[test]
fn memory_is_told_and_more_than_the_machine_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("replay.json");
    let write = |buffer_size: u64| {
        let experiment = serde_json::json!({
            "name": "replay",
            "environment": { "id": "CarRacing-v3" },
            "agents": { "td3": {
                "policy": { "type": "neural" },
                "training": {
                    "algorithm": { "name": "td3", "buffer_size": buffer_size },
                    "schedule": { "steps": 1_000_000_000 },
                },
            } },
        });
        std::fs::write(&file, experiment.to_string()).unwrap();
    };
    let path = file.to_str().unwrap();
    // Two pictures of 96 × 96 × 3 bytes a step, and the copy that a checkpoint is written from.
    write(1_000);
    let told = output(&["validate", path]);
    let stdout = String::from_utf8_lossy(&told.stdout);
    assert!(stdout.ends_with("memory: replay takes up to 111 MB a trial (td3)\n"), "{stdout}");
    // 11 TB
    write(100_000_000);
    let told = output(&["validate", path]);
    assert!(told.status.success(), "another machine may have that much");
    let (code, stderr) = failure(&["run", path, "--output", directory.path().to_str().unwrap()]);
    assert_eq!(code, 2, "{stderr}");
    for text in [&*String::from_utf8_lossy(&told.stderr), &*stderr] {
        assert!(text.contains("agents.td3.training.algorithm.buffer_size"), "{text}");
        assert!(text.contains("use a smaller one"), "{text}");
    }
}
