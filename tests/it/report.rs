//! The report of made-up runs: written through the real types, so that what it reads is what trials write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rushes::experiment::{Plan, Spec};
use rushes::record::FORMAT_VERSION;
use rushes::record::{
    Evaluation, Event, Moment, Outcome, Progress, Record, RunInfo, RunStatus, StopReason, Take,
    TakeRecord, TrialResult,
};
use rushes::report::{self, Options};
use rushes::results::{Goal, PolicyKind, RunData, RunReader, Summary};
use rushes::store::RunDir;
use rushes::video::Codec;
use serde_json::{Value, json};

/// A run that can be looked at.
struct MadeUp {
    _output: tempfile::TempDir,
    run: RunDir,
}

/// Agents by name; those with `training` learn.
fn experiment(agents: Value, seeds: usize) -> Value {
    json!({
        "name": "made-up",
        "description": "A run that nobody ran.",
        "environment": { "id": "CartPole-v1" },
        "seeds": seeds,
        "agents": agents,
        "evaluation": { "episodes": 5 },
    })
}

fn learner(learning_rate: f64) -> Value {
    json!({
        "policy": { "type": "neural", "hidden": [16] },
        "training": {
            "algorithm": { "name": "reinforce", "learning_rate": learning_rate },
            "schedule": { "episodes": 60, "stop": { "mean_return": 400, "window": 10 } },
        },
    })
}

fn three_agents() -> Value {
    json!({
        "random": { "policy": { "type": "random" } },
        "lean": { "policy": { "type": "hard-coded", "rule": "if obs[2] < 0.0 { 0 } else { 1 }" } },
        "reinforce": learner(0.02),
    })
}

impl MadeUp {
    /// Runs nothing: every trial's result is made up. Agents that learn end at `learned`, others at 20.
    fn new(experiment: Value, learned: f64) -> Self {
        let output = tempfile::tempdir().unwrap();
        let spec: Spec = serde_json::from_value(experiment).unwrap();
        let run = RunDir::create(output.path(), &spec.name).unwrap();
        let plan = Plan::new(spec).expect("settings that fit");
        run.write_plan(&plan).unwrap();
        run.write_info(&info(&run)).unwrap();
        for trial in &plan.trials {
            let dir = run.trial(&trial.id);
            dir.create(trial).unwrap();
            let learns = trial.settings.training.is_some();
            let end = if learns { learned } else { 20.0 };
            let mut takes = Vec::new();
            if trial.filmed {
                let early =
                    [(Moment::Before, "before.mp4", 10), (Moment::During, "step-12340.mp4", 100)];
                let early = early.into_iter().filter(|_| learns);
                for (moment, file, steps) in
                    early.chain([(Moment::After, "after.mp4", end as usize)])
                {
                    std::fs::write(dir.file(file), b"not a video").unwrap();
                    takes.push(take(moment, file, steps));
                }
            }
            let episodes = if learns { 60 } else { 0 };
            let last = events(&dir.events_path(), episodes, trial.seed, end);
            let evaluation = |mean: f64| Evaluation {
                seed: Some(1_000_000_000),
                returns: (0..5).map(|i| mean + f64::from(i) + trial.seed as f64 - 2.0).collect(),
                lengths: vec![mean as u64; 5],
                cut: Vec::new(),
            };
            let result = TrialResult {
                format_version: FORMAT_VERSION,
                id: trial.id.clone(),
                agent: trial.agent.clone(),
                seed: trial.seed,
                outcome: Outcome::Completed { stop_reason: learns.then_some(StopReason::Episodes) },
                progress: last,
                training_seconds: 1.5,
                steps_per_second: learns.then_some(400_000.0),
                engine: learns.then(|| "native".into()),
                before: learns.then(|| evaluation(12.0)),
                after: Some(evaluation(end)),
                best: None,
                policy: None,
                takes,
                notes: Vec::new(),
                peak_memory_bytes: Some(120_000_000),
            };
            dir.write_result(&result).unwrap();
        }
        Self { _output: output, run }
    }

    fn trial(&self, id: &str, file: &str) -> PathBuf {
        self.run.trial(id).file(file)
    }

    /// Renders, and gives the page's text.
    fn page(&self) -> String {
        let path = report::render(std::slice::from_ref(&self.run), &Options::default()).unwrap();
        assert_eq!(path, self.run.report());
        std::fs::read_to_string(path).unwrap()
    }

    fn summary(&self) -> Summary {
        RunData::read(&self.run).unwrap().summary
    }
}

fn info(run: &RunDir) -> RunInfo {
    RunInfo {
        format_version: FORMAT_VERSION,
        run: run.name(),
        label: None,
        status: RunStatus::Finished,
        started: "2026-01-02T03:04:05Z".parse().unwrap(),
        finished: Some("2026-01-02T03:04:45Z".parse().unwrap()),
        command: ["rushes", "run", "made up.json"].map(str::to_owned).into(),
        experiment_file: "made up.json".into(),
        overrides: Vec::new(),
        jobs: 2,
        versions: [("rushes".to_owned(), "0.1.0".to_owned())].into(),
        git: None,
        machine: [("cores".to_owned(), "2".to_owned())].into(),
        signature: None,
    }
}

fn take(moment: Moment, file: &str, steps: usize) -> TakeRecord {
    TakeRecord {
        moment,
        file: file.into(),
        poster: file.replace("mp4", "png"),
        numbers: None,
        take: Take {
            seeds: vec![1_000_000_000],
            returns: vec![steps as f64],
            lengths: vec![steps as u32],
            cut: Vec::new(),
            rewards: vec![vec![1.0; steps]],
            frames: steps as u64 + 1,
            fps: 50,
            width: 600,
            height: 400,
            codec: Codec::H264,
            encoder: "libx264".into(),
        },
    }
}

/// Episodes whose returns rise to `end` by the 40th; gives where training ended.
fn events(path: &Path, episodes: u64, seed: u64, end: f64) -> Progress {
    let mut text = String::new();
    let mut progress = Progress::default();
    let mut write = |progress, seconds, event| {
        let record = Record { progress, seconds, event };
        text.push_str(&serde_json::to_string(&record).unwrap());
        text.push('\n');
    };
    if episodes > 0 {
        let (returns, lengths) = (vec![12.0; 5], vec![12; 5]);
        write(progress, 0.0, Event::Evaluation { returns, lengths, cut: Vec::new() });
    }
    for episode in 1..=episodes {
        let r#return = (end * episode as f64 / 40.0).min(end) + (seed % 3) as f64;
        progress = Progress {
            episodes: episode,
            steps: progress.steps + r#return as u64,
            updates: episode,
        };
        let metrics = [("policy_loss".to_owned(), 1.0 / episode as f64)].into();
        for event in [
            Event::Episode { r#return, length: Some(r#return as u64), truncated: Some(false) },
            Event::Update { metrics },
        ] {
            write(progress, episode as f64 * 0.025, event);
        }
    }
    std::fs::write(path, text).unwrap();
    progress
}

/// The text between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in the page"));
    rest.split_once(end).unwrap().0
}

fn headline(page: &str) -> &str {
    between(page, "<h2 id=\"verdict\">", "</h2>")
}

#[test]
fn a_page_shows_what_the_run_came_to() {
    let made_up = MadeUp::new(experiment(three_agents(), 5), 490.0);
    let page = made_up.page();
    insta::assert_snapshot!(headline(&page), @"All 5 seeds of reinforce reached a mean return of 400 in training, after 37 to 38 episodes.");
    assert!(page.contains("<li>reinforce beats every baseline: 492 against 22 for lean.</li>"));
    assert!(
        page.contains("All 5 seeds of reinforce reach the reward threshold of 475 when evaluated.")
    );
    assert!(page.contains("id=\"training-return\""));
    assert!(
        !page.contains("id=\"evaluation-return\""),
        "the evaluation before training is no curve"
    );
    let sections = [
        "takes",
        "learning",
        "evaluation",
        "profile",
        "threshold",
        "diagnostics",
        "cost",
        "settings",
        "environment",
        "reproduce",
    ];
    for id in sections {
        assert!(
            page.contains(&format!("<section class=\"section\" id=\"{id}\"")),
            "no section {id}"
        );
    }
    assert!(!page.contains("id=\"failures\"") && !page.contains("of this run could not be read"));
    // What the browser test relies on.
    assert!(page.contains("data-player") && page.contains("data-action=\"play\""));
    assert!(page.contains("<input type=\"range\" data-action=\"scrub\""));
    assert_eq!(
        page.matches("<video class=\"take\" preload=\"metadata\" muted playsinline").count(),
        2
    );
    assert_eq!(page.matches("<video class=\"take\" preload=\"none\" muted playsinline").count(), 2);
    assert!(page.contains("src=\"trials/reinforce--s0/before.mp4\""));
    assert!(page.contains("reinforce, at step 12,340, seed 0"));
    // The command is quoted for a shell.
    assert!(
        page.contains("rushes run &#39;made up.json&#39;"),
        "{}",
        between(&page, "<pre", "</pre>")
    );
}

#[test]
fn nothing_on_a_page_comes_from_elsewhere() {
    let page = MadeUp::new(experiment(three_agents(), 2), 300.0).page();
    // An XML namespace is a name, not an address.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for mark in ["http://", "https://", "@import", "url(", "<link", "<iframe"] {
        assert!(!page.contains(mark), "the page contains {mark}");
    }
}

#[test]
fn the_summary_has_every_seed() {
    let made_up = MadeUp::new(experiment(three_agents(), 3), 490.0);
    made_up.page();
    let summary = made_up.summary();
    assert_eq!((summary.format_version, summary.experiment.as_str()), (FORMAT_VERSION, "made-up"));
    assert_eq!(summary.reward_threshold, Some(475.0));
    let kinds: Vec<_> = summary.agents.iter().map(|agent| (agent.policy, agent.learns)).collect();
    assert_eq!(
        kinds,
        [(PolicyKind::Random, false), (PolicyKind::HardCoded, false), (PolicyKind::Neural, true)]
    );
    let agent = &summary.agents[2];
    assert_eq!(agent.curve_window, 10);
    let seeds: Vec<_> = agent.seeds.iter().map(|seed| seed.seed).collect();
    assert_eq!(seeds, [0, 1, 2]);
    let seed = &agent.seeds[0];
    assert_eq!(seed.final_returns, [488.0, 489.0, 490.0, 491.0, 492.0]);
    assert_eq!(seed.before_returns.len(), 5);
    assert_eq!((seed.curve.len(), seed.curve.episodes[59]), (60, 60));
    // Returns rise by 12.25 an episode to 490 at the 40th. The mean over 10 is 471.6 at the 44th (five at 490,
    // five on the way: 12.25 · 185) and 477.75 at the 45th.
    assert_eq!(seed.threshold_reached.map(|reached| reached.episodes), Some(45));
    // 400 · 10 = 12.25 · (29 + … + 38) falls short, 30 + … + 39 (4,226) does not; of seed 0, without an addition.
    assert_eq!(agent.goal, Some(Goal { r#return: 400.0, window: Some(10) }));
    assert_eq!(seed.goal_reached.map(|reached| reached.episodes), Some(38));
}

#[test]
fn markup_in_names_is_shown_as_text() {
    let name = "<script>alert(1)</script>";
    let agents =
        json!({ name: learner(0.01), "\" onload=\"alert(2)": { "policy": { "type": "random" } } });
    let mut spec = experiment(agents, 2);
    spec["description"] = "</title><img src=x onerror=alert(3)>".into();
    let page = MadeUp::new(spec, 300.0).page();
    for text in ["&lt;script&gt;alert(1)", "&quot; onload=&quot;alert(2)", "&lt;img src=x onerror"]
    {
        assert!(page.contains(text), "the page does not show {text}");
    }
    for mark in ["<script>alert", "<img", "\" onload=\"", "</title><"] {
        assert!(!page.replace("</title>\n<", "").contains(mark), "the page contains {mark}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn damaged_pieces_are_named_and_the_rest_is_shown() {
    let made_up = MadeUp::new(experiment(three_agents(), 5), 490.0);
    let events = made_up.trial("reinforce--s0", "events.jsonl");
    let text = std::fs::read_to_string(&events).unwrap();
    std::fs::write(&events, &text[..text.len() / 2]).unwrap();
    let cut = text[..text.len() / 2].lines().count();
    std::fs::remove_file(made_up.trial("reinforce--s0", "after.mp4")).unwrap();
    let newer = made_up.trial("reinforce--s1", "result.json");
    let text = std::fs::read_to_string(&newer).unwrap();
    std::fs::write(&newer, text.replace("\"format_version\": 1", "\"format_version\": 99"))
        .unwrap();
    std::fs::write(made_up.trial("reinforce--s2", "result.json"), "{").unwrap();
    std::fs::write(made_up.trial("reinforce--s3", "events.jsonl"), [0xff, 0xfe, b'\n']).unwrap();
    std::fs::remove_dir_all(made_up.run.trial("random--s4").path()).unwrap();
    std::fs::remove_file(made_up.run.path().join("run.json")).unwrap();
    let page = made_up.page();
    for note in [
        format!("reinforce--s0: events.jsonl is damaged from line {cut} on"),
        "reinforce--s0: the video after.mp4 is missing".into(),
        "reinforce--s1: the result could not be read".into(),
        "has format version 99, this program reads up to 1; use a newer rushes".into(),
        "reinforce--s2: the result could not be read".into(),
        "reinforce--s3: events.jsonl is damaged from line 1 on".into(),
        "run.json could not be read".into(),
        "3 of 15 trials have no result".into(),
    ] {
        assert!(page.contains(&note), "no note: {note}");
    }
    assert!(page.contains("<section class=\"section\" id=\"evaluation\""));
    // A page is passed on: it must not tell where it was made.
    assert!(!page.contains(&*made_up.run.path().to_string_lossy()));
    let seeds = &made_up.summary().agents[2].seeds;
    assert!(seeds[1].outcome.is_none() && seeds[1].final_returns.is_empty());
    assert!(!seeds[0].curve.is_empty() && seeds[0].curve.len() < 60);
}

#[test]
fn a_plan_that_cannot_be_read_is_pieced_together() {
    let made_up = MadeUp::new(experiment(three_agents(), 2), 490.0);
    std::fs::write(made_up.run.path().join("plan.json"), "{").unwrap();
    let page = made_up.page();
    assert!(page.contains("plan.json could not be read"));
    assert!(page.contains("<li>reinforce beats every baseline"));

    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("plan.json"), "{").unwrap();
    let run = RunDir::open(empty.path()).unwrap();
    let error = report::render(&[run], &Options::default()).unwrap_err();
    assert!(error.to_string().contains("failed to read the run's plan"), "{error:#}");
}

#[test]
fn a_run_of_a_newer_version_is_not_guessed_at() {
    for file in ["plan.json", "run.json"] {
        let made_up = MadeUp::new(experiment(three_agents(), 2), 490.0);
        let path = made_up.run.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let newer = text.replacen("\"format_version\": 1", "\"format_version\": 99", 1);
        std::fs::write(&path, newer).unwrap();
        let run = RunDir::open(made_up.run.path()).unwrap();
        let error = format!("{:#}", report::render(&[run], &Options::default()).unwrap_err());
        assert!(error.contains(file) && error.contains("has format version 99"), "{error}");
    }
}

#[test]
fn failed_trials_are_shown_with_the_end_of_their_log() {
    let made_up = MadeUp::new(experiment(three_agents(), 2), 490.0);
    let dir = made_up.run.trial("lean--s1");
    let mut result = dir.result().unwrap();
    result.outcome = Outcome::Failed { error: "the policy failed at step 3: <b>".into() };
    result.after = None;
    result.notes = vec!["libx264 is missing".into()];
    dir.write_result(&result).unwrap();
    std::fs::write(dir.stderr(), "beginning\n".repeat(1000) + "the <end>\n").unwrap();
    let page = made_up.page();
    assert!(page.contains("1 of 6 trials failed."));
    let section = between(&page, "<section class=\"section\" id=\"failures\"", "</section>");
    assert!(section.contains("the policy failed at step 3: &lt;b&gt;"));
    assert!(section.contains("the &lt;end&gt;") && section.len() < 20_000);
    assert!(section.contains("libx264 is missing"));
}

#[test]
fn a_standalone_page_holds_its_videos_once() {
    let made_up = MadeUp::new(experiment(three_agents(), 1), 490.0);
    let output = made_up.run.path().join("one file.html");
    let options = Options { output: Some(output.clone()), standalone: true, base: None };
    report::render(std::slice::from_ref(&made_up.run), &options).unwrap();
    let page = std::fs::read_to_string(output).unwrap();
    assert_eq!(page.matches("data:video/mp4;base64,bm90IGEgdmlkZW8=").count(), 5);
    assert!(!page.contains("after.mp4"));
}

#[test]
fn runs_are_compared() {
    let old = MadeUp::new(experiment(three_agents(), 5), 490.0);
    let mut agents = three_agents();
    agents["reinforce"] = learner(0.001);
    let new = MadeUp::new(experiment(agents, 5), 200.0);
    let output = new.run.path().join("comparison.html");
    let path = report::render(&[old.run.clone(), new.run.clone()], &Options::default()).unwrap();
    assert_eq!(path, output);
    let page = std::fs::read_to_string(path).unwrap();
    insta::assert_snapshot!(headline(&page), @"reinforce is worse in run B than in run A.");
    let section = between(&page, "<section class=\"section\" id=\"comparison\"", "</section>");
    assert!(
        section.contains("settings differ")
            && section.contains("−290.0")
            && section.contains("0 %")
    );
    // Takes of the other run are found from where the page lies.
    let link = format!(
        "../../../{}/",
        old.run.path().parent().unwrap().parent().unwrap().file_name().unwrap().to_string_lossy()
    );
    assert!(page.contains(&link), "no link {link}");
    assert!(
        !old.run.summary().exists() && !old.run.report().exists(),
        "comparing writes into a run"
    );
}

/// The text of a section's first table whose caption begins so, a line for each row, its cells between bars.
fn table(page: &str, caption: &str) -> String {
    let table = between(page, &format!("<caption>{caption}"), "</tbody>");
    let rows = table.split("<tr").skip(1);
    let row = |row: &str| {
        let cells = row.split("<th ").flat_map(|part| part.split("<td")).skip(1);
        let cell = |cell: &str| {
            let cell = cell.replace("<small>", " (").replace("</small>", ")");
            let inside = cell.split_once('>').map_or("", |(_, inside)| inside).split('<');
            let mut texts = vec![inside.clone().next().unwrap_or_default().to_owned()];
            texts.extend(inside.skip(1).filter_map(|tag| Some(tag.split_once('>')?.1.to_owned())));
            texts.concat().trim().to_owned()
        };
        cells.map(cell).collect::<Vec<_>>().join(" | ")
    };
    rows.map(row).collect::<Vec<_>>().join("\n")
}

/// Learners that differ in their learning rates, and one in much more.
fn three_learners() -> Value {
    let mut wide = learner(0.02);
    wide["policy"]["hidden"] = json!([32, 32]);
    json!({ "random": { "policy": { "type": "random" } }, "slow": learner(0.001), "fast": learner(0.02), "wide": wide })
}

#[test]
fn agents_are_held_against_a_base_and_their_settings_compared() {
    let made_up = MadeUp::new(experiment(three_learners(), 5), 100.0);
    let page = made_up.page();
    insta::assert_snapshot!(table(&page, "Ablation"), @r#"
    agent | changed | mean | difference | 95 % interval | P(improvement)
    slow (the base) |  | 102.0 |  |  | 
    fast | training.algorithm.learning_rate 0.001 → 0.02 | 102.0 | 0.0 | −1.8 – +1.8 | 50 % (14 % – 86 %)
    wide | policy.hidden [16] → [32,32]; training.algorithm.learning_rate 0.001 → 0.02 | 102.0 | 0.0 | −1.8 – +1.8 | 50 % (14 % – 86 %)
    "#);
    insta::assert_snapshot!(table(&page, "Settings that differ between the agents"), @r#"
    setting | slow | fast | wide
    policy.hidden | [16] | [16] | [32,32]
    training.algorithm.learning_rate | 0.001 | 0.02 | 0.02
    "#);

    let options = Options { base: Some("fast".into()), ..Options::default() };
    let page = report::render(std::slice::from_ref(&made_up.run), &options).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    insta::assert_snapshot!(table(&page, "Ablation"), @r#"
    agent | changed | mean | difference | 95 % interval | P(improvement)
    fast (the base) |  | 102.0 |  |  | 
    random | 16 settings | 22.0 | −80.0 | −81.8 – −78.2 | 0 % (0 % – 0 %)
    slow | training.algorithm.learning_rate 0.02 → 0.001 | 102.0 | 0.0 | −1.8 – +1.8 | 50 % (14 % – 86 %)
    wide | policy.hidden [16] → [32,32] | 102.0 | 0.0 | −1.8 – +1.8 | 50 % (14 % – 86 %)
    "#);

    let options = Options { base: Some("quick".into()), ..Options::default() };
    let error = report::render(std::slice::from_ref(&made_up.run), &options).unwrap_err();
    insta::assert_snapshot!(error, @"--base: there is no agent `quick`; expected one of random, slow, fast, wide");
}

#[test]
fn runs_go_by_their_labels_and_what_differs_between_them_is_told() {
    let label = |made_up: &MadeUp, label: &str| {
        let info = RunInfo { label: Some(label.into()), ..info(&made_up.run) };
        made_up.run.write_info(&info).unwrap();
    };
    let (old, new) = (
        MadeUp::new(experiment(three_agents(), 5), 490.0),
        MadeUp::new(experiment(three_learners(), 4), 200.0),
    );
    label(&old, "as it was");
    label(&new, "rates tried");
    let runs = [old.run.clone(), new.run.clone()];
    let options = Options { base: Some("reinforce".into()), ..Options::default() };
    let page = std::fs::read_to_string(report::render(&runs, &options).unwrap()).unwrap();
    insta::assert_snapshot!(table(&page, "Mean evaluation return"), @r#"
    agent | first mean | then | difference | 95 % interval | P(improvement)
    random (as it was → rates tried) | 22.0 | 21.5 | −0.5 | −2.1 – +1.1 | 40 % (5 % – 78 %)
    "#);
    insta::assert_snapshot!(table(&page, "Ablation"), @r#"
    agent | changed | mean | difference | 95 % interval | P(improvement)
    reinforce · as it was (the base) |  | 492.0 |  |  | 
    random · as it was | 16 settings | 22.0 | −470.0 | −471.8 – −468.2 | 0 % (0 % – 0 %)
    random · rates tried | 17 settings | 21.5 | −470.5 | −472.1 – −468.9 | 0 % (0 % – 0 %)
    lean · as it was | 17 settings | 22.0 | −470.0 | −471.8 – −468.2 | 0 % (0 % – 0 %)
    slow · rates tried | seeds 0, 1, 2, 3, 4 → 0, 1, 2, 3; training.algorithm.learning_rate 0.02 → 0.001 | 201.5 | −290.5 | −292.1 – −288.9 | 0 % (0 % – 0 %)
    fast · rates tried | seeds 0, 1, 2, 3, 4 → 0, 1, 2, 3 | 201.5 | −290.5 | −292.1 – −288.9 | 0 % (0 % – 0 %)
    wide · rates tried | seeds 0, 1, 2, 3, 4 → 0, 1, 2, 3; policy.hidden [16] → [32,32] | 201.5 | −290.5 | −292.1 – −288.9 | 0 % (0 % – 0 %)
    "#);
    insta::assert_snapshot!(table(&page, "Settings and circumstances"), @r#"
    setting | as it was | rates tried
    seeds | 0, 1, 2, 3, 4 | 0, 1, 2, 3
    agents.lean | there | –
    agents.reinforce | there | –
    agents.slow | – | there
    agents.fast | – | there
    agents.wide | – | there
    "#);
    // Two runs of one label are told apart by letters.
    label(&new, "as it was");
    let page = std::fs::read_to_string(report::render(&runs, &options).unwrap()).unwrap();
    assert!(page.contains("A → B") && page.contains("as it was"), "no letters");
}

/// The experiment in another environment, or the same one with other settings.
fn within(environment: Value, learned: f64) -> MadeUp {
    let mut spec = experiment(three_agents(), 5);
    spec["environment"] = environment;
    MadeUp::new(spec, learned)
}

fn compared(runs: &[&MadeUp]) -> String {
    let runs: Vec<RunDir> = runs.iter().map(|made_up| made_up.run.clone()).collect();
    let path = report::render(&runs, &Options::default()).unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn runs_of_different_environments_are_not_compared() {
    let cart_pole = json!({ "id": "CartPole-v1" });
    let good = within(cart_pole.clone(), 490.0);
    let acrobot = within(json!({ "id": "Acrobot-v1" }), 100.0);
    let bad = within(cart_pole, 200.0);

    let page = compared(&[&good, &acrobot]);
    insta::assert_snapshot!(headline(&page), @"Every run is of another environment; nothing is compared.");
    let section = between(&page, "<section class=\"section\" id=\"comparison\"", "</section>");
    assert!(section.contains("Only run A is") && section.contains("Only run B is"), "{section}");
    assert!(!page.contains("A → B") && !page.contains("are worse") && !page.contains("is worse"));
    // Figures are drawn for each environment.
    for id in ["training-return", "performance-profile", "return-distribution"] {
        let figure = |suffix: &str| page.matches(&format!("id=\"{id}{suffix}\"")).count();
        assert_eq!((figure("-1"), figure("-2"), figure("")), (1, 1, 0), "{id}");
    }
    // Acrobot's best baseline is not CartPole's.
    let evaluation = between(&page, "<section class=\"section\" id=\"evaluation\"", "</section>");
    assert!(evaluation.contains("+470.0") && evaluation.contains("+80.0"), "{evaluation}");

    let page = compared(&[&good, &acrobot, &bad]);
    insta::assert_snapshot!(headline(&page), @"CartPole-v1: reinforce is worse in run C than in run A.");
    assert!(page.contains("A → C") && !page.contains("A → B") && !page.contains("B → C"));
}

#[test]
fn options_and_time_limits_make_another_environment_and_defaults_do_not() {
    let plain = within(json!({ "id": "CartPole-v1" }), 490.0);
    for same in [
        json!({ "id": "CartPole-v1", "max_episode_steps": 500 }),
        json!({ "id": "CartPole-v1", "options": { "sutton_barto_reward": false } }),
    ] {
        let page = compared(&[&plain, &within(same, 200.0)]);
        assert_eq!(headline(&page), "reinforce is worse in run B than in run A.");
    }
    for (other, name) in [
        (json!({ "max_episode_steps": 200 }), "CartPole-v1(max_episode_steps=200)"),
        (
            json!({ "options": { "sutton_barto_reward": true }, "max_episode_steps": 200 }),
            "CartPole-v1(sutton_barto_reward=true, max_episode_steps=200)",
        ),
    ] {
        let mut environment = other;
        environment["id"] = json!("CartPole-v1");
        let page = compared(&[&plain, &within(environment, 200.0)]);
        assert_eq!(headline(&page), "Every run is of another environment; nothing is compared.");
        assert!(page.contains(name), "the page does not name {name}");
    }
}

#[test]
fn a_run_whose_names_lead_out_of_it_is_refused() {
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("secret"), "private").unwrap();
    let elsewhere = secret.path().join("secret").to_string_lossy().into_owned();
    let refused = |made_up: &MadeUp| {
        for standalone in [false, true] {
            let output = Some(made_up.run.path().join("page.html"));
            let options = Options { output, standalone, base: None };
            let error = report::render(std::slice::from_ref(&made_up.run), &options).unwrap_err();
            assert!(format!("{error:#}").contains("is no plain file name"), "{error:#}");
            assert!(!made_up.run.path().join("page.html").exists());
        }
    };
    for field in ["file", "poster"] {
        for name in [elsewhere.as_str(), "../../plan.json", ".."] {
            let made_up = MadeUp::new(experiment(three_agents(), 1), 490.0);
            let trial = made_up.run.trial("reinforce--s0");
            let mut result = serde_json::to_value(trial.result().unwrap()).unwrap();
            result["takes"][0][field] = json!(name);
            std::fs::write(trial.file("result.json"), result.to_string()).unwrap();
            refused(&made_up);

            // A trial without a result is known by its events.
            let mut take = result["takes"][0].clone();
            for (key, value) in [("event", "take"), ("moment", "before")] {
                take[key] = json!(value);
            }
            for key in ["episodes", "steps", "updates", "seconds"] {
                take[key] = json!(0);
            }
            std::fs::remove_file(trial.file("result.json")).unwrap();
            std::fs::write(trial.events_path(), format!("{take}\n")).unwrap();
            refused(&made_up);
        }
    }
    let made_up = MadeUp::new(experiment(three_agents(), 1), 490.0);
    let info = made_up.run.path().join("run.json");
    let text = std::fs::read_to_string(&info).unwrap();
    let mut info_there: serde_json::Value = serde_json::from_str(&text).unwrap();
    info_there["run"] = json!("../../evil");
    std::fs::write(&info, info_there.to_string()).unwrap();
    refused(&made_up);
    // A plain name may still be a link.
    let made_up = MadeUp::new(experiment(three_agents(), 1), 490.0);
    let video = made_up.trial("reinforce--s0", "after.mp4");
    std::fs::remove_file(&video).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &video).unwrap();
    let error = RunDir::open(made_up.run.path()).unwrap_err();
    assert!(error.to_string().contains("after.mp4 is a link"), "{error:#}");
}

#[test]
fn verdicts_say_no_more_than_is_known() {
    let verdict = |mut agents: Value, seeds, learned| {
        for agent in agents.as_object_mut().unwrap().values_mut() {
            if let Some(schedule) = agent.pointer_mut("/training/schedule") {
                schedule["stop"].take();
            }
        }
        let page = MadeUp::new(experiment(agents, seeds), learned).page();
        headline(&page).to_owned()
    };
    let random = json!({ "random": { "policy": { "type": "random" } } });
    insta::assert_snapshot!(verdict(random, 1, 0.0), @"random returns 20 on average; it does not learn.");
    insta::assert_snapshot!(verdict(json!({ "a": learner(0.1) }), 2, 300.0), @"a returns 300.5 after training, up from 12.5 before.");
    insta::assert_snapshot!(verdict(three_agents(), 5, 15.0), @"reinforce does not beat the baselines: 17 against 22 for lean.");
    insta::assert_snapshot!(verdict(three_agents(), 5, 20.5), @"reinforce is ahead of the baselines, but not clearly: 22.5 against 22 for lean.");
    let two = json!({ "random": { "policy": { "type": "random" } }, "a": learner(0.1), "b": learner(0.2) });
    insta::assert_snapshot!(verdict(two, 3, 300.0), @"All 2 learned agents beat every baseline; b leads with 301 against 21 for random.");
}

#[test]
fn a_verdict_speaks_of_the_experiments_own_goal() {
    let points = |agents: Value, seeds, learned| {
        let page = MadeUp::new(experiment(agents, seeds), learned).page();
        let points = between(&page, "<ul class=\"points\">", "</ul>").replace("<li>", "");
        let points: Vec<_> = points.split("</li>").map(|point| point.trim().to_owned()).collect();
        format!("{}\n{}", headline(&page), points.join("\n").trim_end())
    };
    insta::assert_snapshot!(points(three_agents(), 5, 490.0), @r"
    All 5 seeds of reinforce reached a mean return of 400 in training, after 37 to 38 episodes.
    reinforce beats every baseline: 492 against 22 for lean.
    All 5 seeds of reinforce reach the reward threshold of 475 when evaluated.
    Weak evidence: evaluations of only 5 episodes.
    ");
    // Seeds add 0, 1 and 2 to each return: at most 399, 400 and 401.
    insta::assert_snapshot!(points(three_agents(), 5, 399.0), @r"
    3 of 5 seeds of reinforce reached a mean return of 400 in training, after 48 to 49 episodes.
    reinforce beats every baseline: 401 against 22 for lean.
    reinforce does not reach the reward threshold of 475 when evaluated.
    Weak evidence: evaluations of only 5 episodes.
    ");
    insta::assert_snapshot!(points(json!({ "a": learner(0.1) }), 2, 300.0), @r"
    No seed of a reached a mean return of 400 in training within 60 episodes.
    a returns 300.5 after training, up from 12.5 before.
    a does not reach the reward threshold of 475 when evaluated.
    Weak evidence: evaluations of only 5 episodes.
    ");
    let mut fast = learner(0.1);
    fast["training"]["schedule"]["stop"] = json!({ "running_return": 100 });
    let two =
        json!({ "random": { "policy": { "type": "random" } }, "fast": fast, "b": learner(0.2) });
    insta::assert_snapshot!(points(two, 3, 300.0), @r"
    All 2 learned agents beat every baseline; b leads with 301 against 21 for random.
    All 3 seeds of fast reached a running return of 100 in training, after 28 episodes.
    No seed of b reached a mean return of 400 in training within 60 episodes.
    No agent reaches the reward threshold of 475 when evaluated, on average.
    Weak evidence: evaluations of only 5 episodes.
    ");
}

#[test]
fn a_goal_that_no_training_was_long_enough_for_is_said_alike_everywhere() {
    let mut short = learner(0.1);
    short["training"]["schedule"]["stop"]["window"] = json!(100);
    // The mean of the 60 episodes ends above the goal.
    let page = MadeUp::new(experiment(json!({ "a": short }), 3), 4900.0).page();
    let why = "the mean is that of 100 episodes, and no seed has trained for more than 60.";
    let sentence = "No seed of a can have reached a mean return of 400 in training: ";
    assert!(headline(&page) == format!("{sentence}{why}"), "{}", headline(&page));
    let chart = between(&page, "id=\"training-return\"", "</figure>");
    assert!(
        chart.contains(&format!("by which no goal and no threshold is reached. a: {why}")),
        "{chart}"
    );
    let time = between(&page, "id=\"threshold\"", "</section>");
    assert!(
        time.contains(&format!("No seed has reached the goal of 400 in training. a: {why}")),
        "{time}"
    );
    assert!(time.contains(&format!("the reward threshold of 475 in training. a: {why}")), "{time}");
}

#[test]
fn charts_mark_the_goal_and_a_threshold_that_is_near() {
    let curves = |learned| {
        let page = MadeUp::new(experiment(three_agents(), 2), learned).page();
        between(&page, "id=\"training-return\"", "</figure>").to_owned()
    };
    let near = curves(300.0);
    assert!(near.contains("goal 400</text>") && near.contains("reward threshold 475</text>"));
    let far = curves(100.0);
    assert!(far.contains("goal 400 ↑</text>") && far.contains("reward threshold 475 ↑</text>"));
    // The numbers that the page's script draws from: every episode of a short training among them.
    let numbers = between(&near, "data-numbers>", "</script>");
    let numbers: Value = serde_json::from_str(numbers).unwrap();
    assert_eq!(numbers["each"], json!({ "label": "single episodes", "drawn": 120, "of": 120 }));
    assert_eq!(numbers["lines"][0]["each"][0][1][3].as_array().map(Vec::len), Some(60));
    assert_eq!(numbers["rules"][0], json!({ "y": 400.0, "label": "goal 400", "class": "goal" }));
}

#[test]
fn twelve_agents_are_told_apart_by_colour_and_dash() {
    let agents: serde_json::Map<String, Value> =
        (0..12).map(|i| (format!("agent {i}"), learner(0.01))).collect();
    let page = MadeUp::new(experiment(agents.into(), 2), 300.0).page();
    let legend = between(&page, "id=\"training-return\"", "</ul>");
    let looks: std::collections::BTreeSet<&str> =
        (legend.split("<button type=\"button\" class=\"").skip(1))
            .filter_map(|rest| rest.split('"').next())
            .filter(|class| class.starts_with('c'))
            .collect();
    assert_eq!(looks.len(), 12, "{looks:?}");
}

#[test]
fn the_page_of_a_running_run_says_what_runs_and_how_far_it_is() {
    let run = MadeUp::new(experiment(three_agents(), 2), 450.0);
    let info = RunInfo { status: RunStatus::Running, finished: None, ..info(&run.run) };
    run.run.write_info(&info).unwrap();
    std::fs::remove_file(run.trial("reinforce--s0", "result.json")).unwrap();
    assert!(run.page().contains("the run was killed, or shows no sign of life"));
    let _lease = run.run.take().unwrap();
    let page = run.page();
    let status = between(&page, "data-part=\"live\"", "</section>");
    assert!(status.contains("Running: 5 of 6 trials are over"), "{status}");
    assert!(status.contains("reinforce, seed 0"), "{status}");
    assert!(status.contains("100 % · "), "{status}");
    assert!(!page.contains("no sign of life"));
}

#[test]
fn a_run_that_is_read_on_comes_to_the_same_as_one_that_is_read_at_once() {
    let run = MadeUp::new(experiment(three_agents(), 2), 450.0);
    let (log, result) =
        (run.trial("reinforce--s0", "events.jsonl"), run.trial("reinforce--s0", "result.json"));
    let (events, end) = (std::fs::read_to_string(&log).unwrap(), std::fs::read(&result).unwrap());
    std::fs::remove_file(&result).unwrap();
    let mut reader = RunReader::new(run.run.clone());
    let mut trials = Vec::new();
    // Half lines, whole ones, and at last what says that the trial is over.
    for bytes in [0, 300, 301, events.len() / 2, events.len()] {
        std::fs::write(&log, &events[..bytes]).unwrap();
        let read = reader.read().unwrap();
        assert_eq!(read.summary, RunData::read(&run.run).unwrap().summary, "{bytes} bytes");
        trials = read.trials;
    }
    std::fs::write(&result, end).unwrap();
    let read = reader.read().unwrap();
    assert_eq!(read.summary, run.summary());
    let same = |trial: usize| Arc::ptr_eq(&trials[trial], &read.trials[trial]);
    let changed: Vec<_> = (0..trials.len()).filter(|&trial| !same(trial)).collect();
    let names: Vec<_> = changed.iter().map(|&trial| read.trials[trial].plan.id.as_str()).collect();
    assert_eq!(names, ["reinforce--s0"], "the others were not read again");
}

#[test]
fn two_hundred_trials_make_a_page_below_4_mb() {
    let agents: serde_json::Map<String, Value> =
        (0..20).map(|i| (format!("agent {i}"), learner(0.01))).collect();
    let made_up = MadeUp::new(experiment(agents.into(), 10), 300.0);
    let page = made_up.page();
    assert!(page.len() < 4_000_000, "the page has {} bytes", page.len());
}
