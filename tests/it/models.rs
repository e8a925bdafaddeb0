//! Robots of a user's own: a model's file is part of a run by what it holds.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{failure, output};
use crate::run::run_experiment;

const ROBOT: &str = "<mujoco><worldbody><geom type='plane' size='9 9 1'/><body pos='0 0 1'>\
    <joint name='x' type='slide' axis='1 0 0'/><joint name='z' type='slide' axis='0 0 1'/><geom size='0.2'/>\
    </body></worldbody><actuator><motor joint='x' ctrlrange='-1 1'/></actuator></mujoco>";

fn settings_hash(run: &Path) -> Value {
    let plan = std::fs::read(run.join("plan.json")).expect("a run has a plan");
    let plan: Value = serde_json::from_slice(&plan).expect("JSON");
    plan["settings_hash"].clone()
}

#[test]
fn a_run_is_refused_once_its_model_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("robot.xml");
    std::fs::write(&model, ROBOT).unwrap();
    let experiment = |file: &Path| {
        json!({
            "name": "robot",
            "environment": {
                "id": "HalfCheetah-v5", "options": { "xml_file": file }, "max_episode_steps": 20,
            },
            "agents": { "random": { "policy": { "type": "random" } } },
            "evaluation": { "episodes": 2 },
            "recording": { "before": false, "after": false },
        })
    };
    let start = |folder: &str, file: &Path| {
        let folder = directory.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        run_experiment(&folder, &experiment(file), &[])
    };
    let run = start("1", &model);
    std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
    let elsewhere = directory.path().join("elsewhere/robot.xml");
    std::fs::copy(&model, &elsewhere).unwrap();
    let same = start("2", &elsewhere);
    assert_eq!(settings_hash(&run), settings_hash(&same), "it is the same robot");

    let runs = [&run, &same].map(|run| run.display().to_string());
    let baseline = directory.path().join("baseline.json").display().to_string();
    assert!(output(&["baseline", &runs[0], "-o", &baseline]).status.success());
    let (code, stderr) = failure(&["check", "--baseline", &baseline, &runs[1]]);
    assert!(!stderr.contains("cannot be compared") && code != 2, "the same task: {stderr}");

    let run = run.canonicalize().unwrap().display().to_string();
    let play = ["play", &run, "random"];
    assert!(output(&play).status.success());
    std::fs::write(&model, ROBOT.replace("0.2", "0.3")).unwrap();
    let changed = start("3", &model);
    assert_ne!(settings_hash(&changed), settings_hash(&same));
    let (code, stderr) = failure(&play);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("robot.xml has changed since the run began"), "{stderr}");
    let (code, stderr) = failure(&["run", &format!("--resume={run}")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("robot.xml has changed since the run began"), "{stderr}");
    let (code, stderr) = failure(&["run", &format!("{run}/experiment.json")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("robot.xml has changed since the run began"), "{stderr}");
    // Another robot is played when it is asked for.
    let other = format!("xml_file={}", elsewhere.display());
    assert!(output(&[&play[..], &["--option", &other]].concat()).status.success());
}

#[test]
fn a_folder_for_a_hub_has_the_model_that_its_agent_moves() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("robot.xml");
    std::fs::write(&model, ROBOT.replace("<geom size='0.2'/>", "<include file='shape.xml'/>"))
        .unwrap();
    std::fs::write(directory.path().join("shape.xml"), "<mujoco><geom size='0.2'/></mujoco>")
        .unwrap();
    let experiment = json!({
        "name": "robot",
        "environment": {
            "id": "HalfCheetah-v5", "options": { "xml_file": model }, "max_episode_steps": 20,
        },
        "agents": { "ppo": {
            "policy": { "type": "neural", "hidden": [4] },
            "training": { "algorithm": { "name": "ppo", "n_steps": 64, "n_envs": 3 }, "schedule": { "steps": 200 } },
        } },
        "evaluation": { "episodes": 2 },
        "recording": { "before": false, "after": false },
    });
    let run = run_experiment(directory.path(), &experiment, &[]);
    let played = |policy: &Path| {
        let played = output(&["play", policy.to_str().unwrap(), "--episodes=2", "--json"]);
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
        let played: Value = serde_json::from_slice(&played.stdout).unwrap();
        played["episodes"].clone()
    };
    let before = played(&run.join("trials/ppo--s0/policy.safetensors"));
    let hub = directory.path().join("hub");
    let exported = output(&["export", run.to_str().unwrap(), "--hub", hub.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    // Where it is pushed to there is nothing else.
    std::fs::remove_dir_all(&run).unwrap();
    std::fs::remove_file(&model).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    std::fs::rename(&hub, &elsewhere).unwrap();
    assert_eq!(played(&elsewhere.join("policy.safetensors")), before);
    let settings = std::fs::read(elsewhere.join("experiment.json")).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    assert_eq!(settings["environment"]["options"]["xml_file"], "./robot.mjb");
    let card = std::fs::read_to_string(elsewhere.join("README.md")).unwrap();
    assert!(card.contains("`robot.mjb`"), "{card}");
}
