//! `rushes baseline`, `rushes check`, `rushes history` and `rushes export` from the command line, on run
//! directories made by hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rushes::experiment::Plan;
use rushes::history::History;
use rushes::record::{Outcome, Progress, RunStatus, StopReason};
use rushes::results::{AgentSummary, Curve, PolicyKind, Reached, SeedSummary, Summary};
use rushes::{store, validation};
use serde_json::{Value, json};
use tempfile::TempDir;

const RANDOM: [f64; 5] = [21.0, 22.5, 21.5, 23.0, 22.0];
const OTHER_RANDOM: [f64; 5] = [22.0, 21.0, 23.5, 22.0, 21.5];
const LEARNED: [f64; 5] = [471.0, 488.5, 455.0, 480.0, 462.5];
const OTHER_LEARNED: [f64; 5] = [466.0, 490.0, 474.5, 459.0, 483.0];
const DROPPED: [f64; 5] = [352.0, 361.5, 340.0, 377.0, 349.0];

/// A run: each agent's mean evaluation return for each seed.
struct Run {
    name: &'static str,
    agents: Vec<(&'static str, PolicyKind, Vec<f64>)>,
    first_seed: u64,
    hash: &'static str,
    failed: Option<(&'static str, u64)>,
    /// Why trainings ended.
    stop_reason: Option<StopReason>,
    /// What every learner trained for; the threshold is reached after 15,000.
    steps: u64,
    /// How many of the learner's seeds were evaluated during training, at far better returns than those of training.
    evaluated: u64,
    check: Value,
}

impl Run {
    fn new(name: &'static str, random: &[f64], learned: &[f64]) -> Self {
        Self {
            name,
            agents: vec![
                ("random", PolicyKind::Random, random.to_vec()),
                ("lean", PolicyKind::HardCoded, vec![42.0; random.len()]),
                ("reinforce", PolicyKind::Neural, learned.to_vec()),
            ],
            first_seed: if name == "before" { 0 } else { 100 },
            hash: "5e771465",
            failed: None,
            stop_reason: None,
            steps: 20_000,
            evaluated: 0,
            check: json!({}),
        }
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let agents: serde_json::Map<String, Value> = self
            .agents
            .iter()
            .map(|(name, kind, _)| {
                let settings = match kind {
                    PolicyKind::Random => json!({ "policy": { "type": "random" } }),
                    PolicyKind::HardCoded => json!({ "policy": { "type": "hard-coded", "rule": "0" } }),
                    PolicyKind::Neural => json!({
                        "policy": { "type": "neural" },
                        "training": { "algorithm": { "name": "reinforce" }, "schedule": { "episodes": 10 } },
                    }),
                    PolicyKind::Planning => json!({ "policy": { "type": "planning" } }),
                    PolicyKind::Tabular => unreachable!("cart-poles have no table"),
                    PolicyKind::External | PolicyKind::Trainer | PolicyKind::Imported => {
                        unreachable!("nothing is started here")
                    }
                };
                ((*name).to_owned(), settings)
            })
            .collect();
        let experiment = json!({
            "name": "cartpole",
            "environment": { "id": "CartPole-v1" },
            "seeds": self.agents[0].2.len(),
            "agents": agents,
            "check": self.check,
        });
        let plan = Plan::new(validation::check(&experiment).expect("a valid experiment"))
            .expect("settings that fit");
        let summary = Summary {
            format_version: 1,
            experiment: "cartpole".into(),
            settings_hash: self.hash.into(),
            run: self.name.into(),
            label: None,
            status: RunStatus::Finished,
            started: Some("2026-01-02T03:04:05Z".parse().expect("a time")),
            finished: None,
            versions: [("rushes".to_owned(), "0.1.0".to_owned())].into_iter().collect(),
            git: None,
            environments: Default::default(),
            environment: "CartPole-v1".into(),
            reward_threshold: Some(475.0),
            search: None,
            agents: self.agents.iter().map(|agent| self.agent(agent)).collect(),
        };
        let path = folder.join(self.name);
        std::fs::create_dir_all(path.join("trials")).expect("a writable folder");
        store::write_json(&path.join("plan.json"), &plan).expect("a writable folder");
        store::write_json(&path.join("summary.json"), &summary).expect("a writable folder");
        path
    }

    fn agent(&self, (name, policy, scores): &(&'static str, PolicyKind, Vec<f64>)) -> AgentSummary {
        let learns = *policy == PolicyKind::Neural;
        let seeds = scores.iter().zip(self.first_seed..).map(|(&score, seed)| SeedSummary {
            seed,
            trial: format!("agent--s{seed}"),
            ended_early: false,
            outcome: Some(if self.failed == Some((name, seed)) {
                Outcome::Failed { error: "killed".into() }
            } else {
                Outcome::Completed { stop_reason: self.stop_reason }
            }),
            engine: None,
            before_returns: if learns { vec![20.0] } else { Vec::new() },
            final_returns: vec![score - 1.0, score + 1.0],
            final_lengths: vec![1, 1],
            final_cut: 0,
            progress: Progress {
                episodes: 100,
                steps: if learns { self.steps } else { 0 },
                updates: 1,
            },
            training_seconds: 1.0,
            steps_per_second: None,
            peak_memory_bytes: None,
            curve: if learns {
                Curve {
                    episodes: vec![50, 100],
                    steps: vec![0, 20_000],
                    seconds: vec![0.5, 1.0],
                    returns: vec![20.0, score],
                }
            } else {
                Curve::default()
            },
            // What every learner has: it was evaluated before training.
            evaluations: if learns && seed < self.first_seed + self.evaluated {
                Curve {
                    episodes: vec![0, 50, 100],
                    steps: vec![0, 10_000, 20_000],
                    seconds: vec![0.0, 0.5, 1.0],
                    returns: vec![20.0, 1000.0, 1000.0],
                }
            } else if learns {
                Curve { episodes: vec![0], steps: vec![0], seconds: vec![0.0], returns: vec![20.0] }
            } else {
                Curve::default()
            },
            threshold_reached: (score >= 475.0).then_some(Reached {
                episodes: 80,
                steps: 15_000,
                seconds: 0.8,
            }),
            goal_reached: None,
        });
        AgentSummary {
            name: (*name).into(),
            policy: *policy,
            learns,
            curve_window: 100,
            goal: None,
            final_score: Default::default(),
            seeds: seeds.map(Arc::new).collect(),
        }
    }
}

fn rushes(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rushes"));
    command.current_dir(folder).args(args).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Writes a baseline of one run, and checks another against it.
fn check(before: &Run, after: &Run, args: &[&str]) -> (TempDir, Output) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    before.write(folder.path());
    after.write(folder.path());
    let written =
        rushes(folder.path(), &["baseline", before.name, "-o", "baselines/cartpole.json"]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    let mut all = vec!["check", after.name, "--baseline", "baselines/cartpole.json"];
    all.extend(args);
    let output = rushes(folder.path(), &all);
    (folder, output)
}

#[test]
fn an_unchanged_run_with_other_seeds_is_held() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let after = Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED);
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output), @r#"
    cartpole: HELD (run after against baseline before)

    agent      metric  baseline                run                     change  sees from  verdict
    random     return  22.0 ± 0.791 (5 seeds)  22.0 ± 0.935 (5 seeds)  0 %     2.4 %      held
    lean       return  42.0 ± 0 (5 seeds)      42.0 ± 0 (5 seeds)      0 %     2 %        held
    reinforce  return  471.4 ± 13.4 (5 seeds)  474.5 ± 12.5 (5 seeds)  +0.7 %  9.0 %      held

    held: random, return: within the scatter; drops from 2.4 % on would have been seen
    held: lean, return: unchanged
    held: reinforce, return: within the scatter; drops from 9.0 % on would have been seen
    changes are fractions of the range between random and baseline; worse by 2 % is tolerated; 2 tests together raise a false alarm at most 5 % of the time; "sees from" is the smallest drop found 90 % of the time
    verdict: held (3 held)
    "#);
}

#[test]
fn a_drop_is_a_regression_in_every_format() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    after.hash = "c0ffee";
    let (folder, output) = check(&before, &after, &["--junit", "j.xml", "--markdown", "m.md"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output), @r#"
    cartpole: REGRESSED (run after against baseline before)

    agent      metric  baseline                run                     change  sees from  verdict
    random     return  22.0 ± 0.791 (5 seeds)  22.0 ± 0.935 (5 seeds)  0 %     2.5 %      held
    lean       return  42.0 ± 0 (5 seeds)      42.0 ± 0 (5 seeds)      0 %     2 %        held
    reinforce  return  471.4 ± 13.4 (5 seeds)  355.9 ± 14.1 (5 seeds)  −26 %   9.8 %      regressed

    regressed: reinforce, return: fell by 115.5 (26 % of the range), at least 21 %
    held: random, return: within the scatter; drops from 2.5 % on would have been seen
    held: lean, return: within the scatter; drops from 2 % on would have been seen
    note: the experiment has changed since the baseline was written: its settings hash was 5e771465, now c0ffee
    changes are fractions of the range between random and baseline; worse by 2 % is tolerated; 3 tests together raise a false alarm at most 5 % of the time; "sees from" is the smallest drop found 90 % of the time
    verdict: regressed (1 regressed, 2 held)
    "#);
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    insta::assert_snapshot!(file("j.xml"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="rushes check" tests="3" skipped="0" failures="1" errors="0">
        <testsuite name="rushes check cartpole" tests="3" skipped="0" errors="0" failures="1">
            <testcase name="random: return" classname="cartpole">
                <system-out>held: within the scatter; drops from 2.5 % on would have been seen
    baseline 22.0 ± 0.791 (5 seeds)
    run 22.0 ± 0.935 (5 seeds)</system-out>
            </testcase>
            <testcase name="lean: return" classname="cartpole">
                <system-out>held: within the scatter; drops from 2 % on would have been seen
    baseline 42.0 ± 0 (5 seeds)
    run 42.0 ± 0 (5 seeds)</system-out>
            </testcase>
            <testcase name="reinforce: return" classname="cartpole">
                <failure message="reinforce: fell by 115.5 (26 % of the range), at least 21 %" type="regressed"/>
                <system-out>regressed: fell by 115.5 (26 % of the range), at least 21 %
    baseline 471.4 ± 13.4 (5 seeds)
    run 355.9 ± 14.1 (5 seeds)</system-out>
            </testcase>
            <system-out>cartpole: REGRESSED (run after against baseline before)
    note: the experiment has changed since the baseline was written: its settings hash was 5e771465, now c0ffee</system-out>
        </testsuite>
    </testsuites>
    "#);
    insta::assert_snapshot!(file("m.md"), @r#"
    ### ❌ cartpole: regressed

    1 regressed, 2 held: run after against baseline before. <a href="after/index.html">Report</a>

    | | agent | metric | baseline | run | change | sees from |
    |---|---|---|---|---|---|---|
    | ❌ regressed | reinforce | return | 471.4 ± 13.4 (5 seeds) | 355.9 ± 14.1 (5 seeds) | −26 % | 9.8 % |
    | ✅ held | random | return | 22.0 ± 0.791 (5 seeds) | 22.0 ± 0.935 (5 seeds) | 0 % | 2.5 % |
    | ✅ held | lean | return | 42.0 ± 0 (5 seeds) | 42.0 ± 0 (5 seeds) | 0 % | 2 % |

    - **reinforce**, return: fell by 115.5 (26 % of the range), at least 21 %
    - **random**, return: within the scatter; drops from 2.5 % on would have been seen
    - **lean**, return: within the scatter; drops from 2 % on would have been seen
    - Note: the experiment has changed since the baseline was written: its settings hash was 5e771465, now c0ffee

    ```sh
    rushes check after --baseline baselines/cartpole.json
    ```

    <sub>Here changes are fractions of the range between random and baseline; worse by 2 % is tolerated; 3 tests together raise a false alarm at most 5 % of the time; "sees from" is the smallest drop found 90 % of the time.</sub>
    "#);
    let json = rushes(
        folder.path(),
        &["check", "after", "--baseline", "baselines/cartpole.json", "--json"],
    );
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["verdict"], "regressed");
    assert_eq!(json["settings_changed"], true);
    assert_eq!(json["comparisons"][2]["agent"], "reinforce");
    assert_eq!(json["comparisons"][2]["metric"], "return");
    assert_eq!(json["comparisons"][2]["verdict"], "regressed");
}

/// The means of a number's copies round differently, depending on how many there are.
#[test]
fn what_differs_only_by_rounding_is_unchanged() {
    let mut before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM[..3], &OTHER_LEARNED[..3]);
    before.agents[1].2 = vec![0.1; 5];
    after.agents[1].2 = vec![0.1; 3];
    let (folder, output) = check(&before, &after, &["--markdown", "m.md"]);
    let text = stdout(&output);
    assert!(text.contains("held: lean, return: unchanged\n"), "{text}");
    let markdown = std::fs::read_to_string(folder.path().join("m.md")).expect("a file");
    assert!(markdown.contains("**lean**, return: unchanged\n"), "{markdown}");
}

#[test]
fn markdown_begins_with_what_regressed_and_ends_with_the_command() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    let url = "--run-url=https://example.org/runs/7/";
    let (folder, _) = check(&before, &after, &["--markdown", "m.md", url]);
    let markdown = std::fs::read_to_string(folder.path().join("m.md")).expect("a file");
    assert!(
        markdown.contains("<a href=\"https://example.org/runs/7/index.html\">Report</a>"),
        "{markdown}"
    );
    let places = [
        "| ❌ regressed | reinforce |",
        "| ✅ held | random |",
        "- **reinforce**",
        "- **random**",
        "rushes check",
    ]
    .map(|words| markdown.find(words).unwrap_or_else(|| panic!("no {words}: {markdown}")));
    assert!(places.is_sorted(), "{places:?}: {markdown}");
    let (_, output) = check(&before, &after, &[url]);
    assert_eq!(output.status.code(), Some(3), "an address without a file");
}

/// Scores that computing with overflows on are refused, the run's too.
#[test]
fn numbers_too_large_to_compare_are_refused() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED);
    after.agents[2].2[1] = 1.7e308;
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    let expected = "the run cannot be compared: seed 101: agent `reinforce` has the return 1.7e308";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

#[test]
fn a_run_whose_plan_cannot_be_read_is_not_checked() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let (folder, _) = check(&before, &Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED), &[]);
    std::fs::write(folder.path().join("after/plan.json"), "{").expect("a file");
    let arguments = ["check", "after", "--baseline", "baselines/cartpole.json"];
    let output = rushes(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    let message = stderr(&output);
    assert!(message.contains("failed to read the rule that the run is checked by"), "{message}");
    assert!(message.contains("plan.json is damaged"), "{message}");
}

#[test]
fn trainings_that_the_user_ended_are_told() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    after.stop_reason = Some(StopReason::User);
    let (_folder, output) = check(&before, &after, &[]);
    let said = stdout(&output);
    assert!(
        said.contains("note: the user ended 15 of 15 trials before the schedule did"),
        "{said}"
    );
}

#[test]
fn one_seed_cannot_tell_and_says_how_many_can() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let after = Run::new("after", &RANDOM[..1], &DROPPED[..1]);
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output), @r#"
    cartpole: INCONCLUSIVE (run after against baseline before)

    agent      metric  baseline                run             change  sees from  verdict
    random     return  22.0 ± 0.791 (5 seeds)  21.0 (1 seed)   −0.2 %  –          inconclusive
    lean       return  42.0 ± 0 (5 seeds)      42.0 (1 seed)   0 %     2 %        held
    reinforce  return  471.4 ± 13.4 (5 seeds)  352.0 (1 seed)  −27 %   –          inconclusive

    inconclusive: random, return: no drop, however large, would have been seen; to see one of 20 %, 3 seeds in the run (it has 1) are needed
    inconclusive: reinforce, return: no drop, however large, would have been seen; to see one of 20 %, 3 seeds in the run (it has 1) are needed
    held: lean, return: unchanged
    changes are fractions of the range between random and baseline; worse by 2 % is tolerated; 2 tests together raise a false alarm at most 5 % of the time; "sees from" is the smallest drop found 90 % of the time
    verdict: inconclusive (2 inconclusive, 1 held)
    "#);
}

#[test]
fn the_same_numbers_again_are_held_however_few() {
    let never_learning = [20.0, 480.0, 22.0];
    let before = Run::new("before", &RANDOM[..3], &never_learning);
    let mut again = Run::new("after", &RANDOM[..3], &never_learning);
    again.first_seed = 0;
    let (_folder, output) = check(&before, &again, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let text = stdout(&output);
    assert!(
        text.contains("held: reinforce, return: unchanged, seed by seed to the last digit"),
        "{text}"
    );
}

#[test]
fn a_better_run_is_improved() {
    let before = Run::new("before", &RANDOM, &DROPPED);
    let after = Run::new("after", &OTHER_RANDOM, &LEARNED);
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("cartpole: IMPROVED"), "{}", stdout(&output));
}

#[test]
fn a_changed_rule_is_a_regression_without_any_scatter() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED);
    after.agents[1].2 = vec![30.0; 5];
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("regressed: lean, return: fell by 12.0"), "{text}");
}

#[test]
fn missing_agents_and_failed_trials_are_not_passed_over() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED);
    after.agents.pop();
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(text.contains("inconclusive: reinforce, return: the run has no such agent"), "{text}");

    let mut after = Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED);
    after.failed = Some(("reinforce", 102));
    let (folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(
        text.contains("inconclusive: reinforce, return: seed 102 failed or did not end"),
        "{text}"
    );
    let refused = rushes(folder.path(), &["baseline", "after", "-o", "b.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!folder.path().join("b.json").exists());
    insta::assert_snapshot!(stderr(&refused), @r"
    error: a baseline needs every trial, but of `reinforce` seed 102 failed or did not end; run them again
    ");
}

#[test]
fn metrics_and_margins_come_from_the_experiment() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    after.check = json!({ "metrics": ["area", "steps_to_threshold"], "drop": 2.0 });
    let (_folder, output) = check(&before, &after, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("regressed: reinforce, area: fell by 57.8"), "{text}");
    assert!(text.contains("reinforce, training steps to threshold: within the scatter"), "{text}");
    assert!(!text.contains("random, "), "{text}");

    after.check = json!({ "margin": 0.5, "drop": 0.8 });
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn a_check_may_state_another_rule_than_the_experiment() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    let tolerant = ["--set", "check.margin=0.5", "--set", "check.drop=0.8"];
    let (_folder, output) = check(&before, &after, &tolerant);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));

    let (_folder, output) = check(&before, &after, &["--set", "check.range=1000"]);
    let text = stdout(&output);
    assert!(text.contains("the range of 1000.0 that `check.range` states"), "{text}");
    for (change, told) in [
        ("check.drop=0", "check.drop"),
        ("check.drip=1", "check.drip"),
        ("seeds=3", "--set seeds: a check changes fields of the experiment's `check` alone"),
    ] {
        let (_folder, output) = check(&before, &after, &["--set", change]);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

#[test]
fn what_changes_are_fractions_of_is_told() {
    let mut before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    for run in [&mut before, &mut after] {
        run.agents.retain(|(_, kind, _)| *kind != PolicyKind::Random);
    }
    let (_folder, output) = check(&before, &after, &[]);
    let text = stdout(&output);
    assert!(text.contains("the range between the untrained policies and the baseline"), "{text}");
}

#[test]
fn contradicting_settings_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = json!({
        "name": "x",
        "environment": { "id": "CartPole-v1" },
        "agents": { "random": { "policy": { "type": "random" } } },
        "check": { "margin": 0.3 },
    });
    std::fs::write(folder.path().join("x.json"), experiment.to_string()).expect("a file");
    let output = rushes(folder.path(), &["validate", "x.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("check.margin: expected less than `drop` (0.2), found 0.3"));
}

#[test]
fn names_are_escaped() {
    let mut before = Run::new("before", &RANDOM, &LEARNED);
    let mut after = Run::new("after", &OTHER_RANDOM, &DROPPED);
    for run in [&mut before, &mut after] {
        run.agents[2].0 = "<script>alert(1)</script> | @all";
    }
    let (folder, output) = check(&before, &after, &["--junit", "j.xml", "--markdown", "m.md"]);
    assert_eq!(output.status.code(), Some(1));
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    assert!(file("m.md").contains("| &lt;script&gt;alert(1)&lt;/script&gt; \\| &#64;all |"));
    assert!(file("j.xml").contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!file("m.md").contains("<script") && !file("j.xml").contains("<script"));
}

#[test]
fn a_baseline_has_a_line_for_each_seed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut run = Run::new("before", &RANDOM[..2], &LEARNED[..2]);
    run.agents.remove(1);
    run.write(folder.path());
    let output = rushes(folder.path(), &["baseline", "before", "-o", "b.json"]);
    assert_eq!(stdout(&output), "b.json (2 agents, 2 seeds)\n");
    let text = std::fs::read_to_string(folder.path().join("b.json")).expect("a file");
    insta::assert_snapshot!(text, @r#"
    {
      "baseline_version": 1,
      "experiment": "cartpole",
      "environment": "CartPole-v1",
      "recorded": {
        "run": "before",
        "started": "2026-01-02T03:04:05Z",
        "settings_hash": "5e771465",
        "git": null,
        "versions": {
          "rushes": "0.1.0"
        }
      },
      "agents": {
        "random": {
          "policy": "random",
          "learns": false,
          "seeds": [
            {"seed": 0, "returns": [20.0, 22.0]},
            {"seed": 1, "returns": [21.5, 23.5]}
          ]
        },
        "reinforce": {
          "policy": "neural",
          "learns": true,
          "untrained": 20.0,
          "curve": {
            "steps": [2000.0, 4000.0, 6000.0, 8000.0, 10000.0, 12000.0, 14000.0, 16000.0, 18000.0, 20000.0],
            "returns": [65.975, 111.95, 157.925, 203.9, 249.875, 295.85, 341.825, 387.8, 433.775, 479.75]
          },
          "curve_source": "training_returns",
          "seeds": [
            {"seed": 0, "area": 245.5, "threshold": {"steps": 20000, "reached": false}, "returns": [470.0, 472.0]},
            {"seed": 1, "area": 254.25, "threshold": {"steps": 15000, "reached": true}, "returns": [487.5, 489.5]}
          ]
        }
      }
    }
    "#);
}

#[test]
fn broken_baselines_are_refused_with_a_message() {
    let before = Run::new("before", &RANDOM, &LEARNED);
    let (folder, _) = check(&before, &Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED), &[]);
    let good = std::fs::read_to_string(folder.path().join("baselines/cartpole.json"));
    let good: Value = serde_json::from_str(&good.expect("a file")).expect("JSON");
    let changed = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).expect("a field") = value;
        changed.to_string()
    };
    let cases = [
        (String::new(), "bad.json is damaged: EOF while parsing"),
        ("{".into(), "bad.json is damaged: EOF while parsing"),
        ("[]".into(), "bad.json is damaged"),
        ("{}".into(), "bad.json is not a baseline: it has no `baseline_version`; write one with"),
        (
            changed("/baseline_version", json!(2)),
            "has baseline version 2, this program reads up to 1; use a newer rushes",
        ),
        (changed("/agents", json!({})), "bad.json is damaged: it has no agents"),
        (
            changed("/agents/random/seeds", json!([])),
            "bad.json is damaged: agent `random` has no seeds",
        ),
        (
            changed("/agents/random/seeds/1/seed", json!(0)),
            "bad.json is damaged: agent `random` has a seed twice",
        ),
        (
            changed("/agents/random/seeds/1/returns", json!([])),
            "bad.json is damaged: agent `random` has no returns for seed 1",
        ),
        (
            changed("/agents/random/seeds/1/returns", json!([1.0, null])),
            "bad.json is damaged: agents.random.seeds[1].returns[1]: invalid type: null",
        ),
        (changed("/agents/random/policy", json!("magic")), "agents.random.policy: unknown variant"),
        (
            changed("/agents/random/seeds/1/returns", json!([1.7e308, -1.7e308])),
            "bad.json is damaged: seed 1: agent `random` has the return 1.7e308; expected a number of at most 1e100",
        ),
        (
            changed("/agents/reinforce/seeds/0/area", json!(-1.7e308)),
            "bad.json is damaged: seed 0: agent `reinforce` has the area -1.7e308",
        ),
        (
            changed("/agents/reinforce/untrained", json!(1.7e308)),
            "agent `reinforce` has the untrained mean return 1.7e308",
        ),
        (
            changed("/environment", json!("CartPole-v0")),
            "the baseline is of the environment `CartPole-v0`, the run of `CartPole-v1`; they cannot be compared",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(folder.path().join("bad.json"), &text).expect("a file");
        let output = rushes(folder.path(), &["check", "after", "--baseline", "bad.json"]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(stderr(&output).contains(expected), "{} has no {expected}", stderr(&output));
    }
    let missing = rushes(folder.path(), &["check", "after", "--baseline", "none.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("failed to read the baseline"), "{}", stderr(&missing));
}

#[test]
fn wrong_usage_has_its_own_exit_code_and_a_run_without_a_summary_is_summarised() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = Run::new("before", &RANDOM, &LEARNED).write(folder.path());
    assert_eq!(rushes(folder.path(), &["check", "before"]).status.code(), Some(3));
    assert_eq!(rushes(folder.path(), &["export", "before"]).status.code(), Some(3));
    std::fs::remove_file(run.join("summary.json")).expect("a file");
    let output = rushes(folder.path(), &["baseline", "before", "-o", "b.json"]);
    // Summarised from its plan: none of its trials has begun.
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!run.join("summary.json").exists(), "reading a run wrote into it");
}

#[test]
fn history_lists_what_was_recorded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let none = rushes(folder.path(), &["history", "cartpole", "--output", "."]);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("no run is recorded"), "{}", stderr(&none));
    let mut history = History::open(folder.path()).expect("a new history");
    for (name, scores) in [("before", LEARNED), ("after", DROPPED)] {
        let run = Run::new(name, &RANDOM, &scores).write(folder.path());
        let summary: Summary = store::read_json(&run.join("summary.json")).expect("a summary");
        history.record(&summary).expect("recorded");
    }
    let text = rushes(folder.path(), &["history", "cartpole", "--output", "."]);
    insta::assert_snapshot!(stdout(&text), @r"
    after (CartPole-v1, no commit, settings 5e771465)
      random                    22.00 [21.40, 22.60] (5 seeds)
      lean                      42.00 [42.00, 42.00] (5 seeds)
      reinforce                355.90 [346.00, 367.70] (5 seeds)
    before (CartPole-v1, no commit, settings 5e771465)
      random                    22.00 [21.40, 22.60] (5 seeds)
      lean                      42.00 [42.00, 42.00] (5 seeds)
      reinforce                471.40 [461.20, 481.60] (5 seeds)
    mean evaluation returns with 95 % bootstrap intervals over seeds
    ");
    let csv = rushes(folder.path(), &["history", "cartpole", "--output", ".", "--csv"]);
    let csv = stdout(&csv);
    assert!(
        csv.contains(
            "\r\nbefore,2026-01-02T03:04:05Z,,,5e771465,0,reinforce,return,0,471,CartPole-v1,\r\n"
        ),
        "{csv}"
    );
    // Two runs of three agents with a return and one agent with two more scores, five seeds each.
    assert_eq!(csv.lines().count(), 1 + 2 * 5 * (3 + 2));
    let json = rushes(folder.path(), &["history", "cartpole", "--output", ".", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json[1]["series"][0]["scores"], json!(RANDOM));
    assert!(csv.contains(",environment,label\r\n") && csv.contains(",CartPole-v1,\r\n"), "{csv}");
    let unknown = rushes(folder.path(), &["history", "pendulum", "--output", "."]);
    assert!(stderr(&unknown).contains("there are runs of cartpole"), "{}", stderr(&unknown));
}

#[test]
fn a_history_that_cannot_be_written_is_read() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;

    // With characters that an address of SQLite's gives a meaning.
    let outer = tempfile::tempdir().expect("a temporary folder");
    let folder = outer.path().join("50% of #1?");
    let run = Run::new("before", &RANDOM, &LEARNED).write(&folder);
    let summary: Summary = store::read_json(&run.join("summary.json")).expect("a summary");
    History::open(&folder).expect("a new history").record(&summary).expect("recorded");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(&store::history(&folder), 0o444);
    mode(&folder, 0o555);
    mode(outer.path(), 0o755);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rushes"));
    command.args(["history", "cartpole", "--output", "."]).current_dir(&folder);
    if std::fs::metadata(&folder).expect("a folder").uid() == 0 {
        // Root may write anywhere.
        command.uid(65534);
    }
    let output = command.output().expect("the program starts");
    mode(&folder, 0o755);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("before (CartPole-v1"), "{}", stdout(&output));
}

/// Areas are taken of the same kind of curve as the baseline's, whichever evaluations the run has.
#[test]
fn areas_of_evaluations_and_of_training_are_not_compared() {
    let area = |before_evaluated, after_evaluated| {
        let mut before = Run::new("before", &RANDOM, &LEARNED);
        before.evaluated = before_evaluated;
        let mut after = Run::new("after", &OTHER_RANDOM, &OTHER_LEARNED);
        after.evaluated = after_evaluated;
        after.check = json!({ "metrics": ["area"] });
        let (_folder, output) = check(&before, &after, &[]);
        (output.status.code(), stdout(&output))
    };
    let expected = area(0, 0);
    assert_eq!(expected.0, Some(0), "{}", expected.1);
    // One seed that was evaluated does not make its agent's curves those of evaluations.
    for (before, after) in [(0, 5), (0, 1), (4, 5), (4, 0)] {
        assert_eq!(area(before, after), expected, "{before} and {after} seeds evaluated");
    }
    let (code, text) = area(5, 0);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("inconclusive: reinforce, area"), "{text}");
}

#[test]
fn a_threshold_that_no_seed_reached_tells_nothing() {
    let never = [300.0, 310.0, 305.0, 290.0, 300.0];
    let before = Run::new("before", &RANDOM, &never);
    let mut after = Run::new("after", &OTHER_RANDOM, &[10.0, 9.0, 11.0, 10.0, 12.0]);
    after.check = json!({ "metrics": ["steps_to_threshold"] });
    let (_folder, output) = check(&before, &after, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    after.check = json!({ "metrics": ["steps_to_threshold", "return"] });
    let (_folder, output) = check(&before, &after, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let note = "note: reinforce is not compared in steps_to_threshold, which no seed of the baseline reached";
    assert!(text.contains(note), "{text}");
}

/// A seed that gave up early is no quick one: never reaching the threshold is the worst there is.
#[test]
fn seeds_that_never_reach_the_threshold_are_the_slowest() {
    let before = Run::new("before", &RANDOM, &[480.0, 485.0, 490.0, 478.0, 482.0]);
    let mut after = Run::new("after", &OTHER_RANDOM, &[10.0, 9.0, 11.0, 10.0, 12.0]);
    after.steps = 5_000;
    after.check = json!({ "metrics": ["steps_to_threshold"], "drop": 0.5 });
    let (_folder, output) = check(&before, &after, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("regressed: reinforce, training steps to threshold: takes longer by"),
        "{text}"
    );
}
