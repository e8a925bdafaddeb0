//! Files that nobody would write: mutants of every kind of file that the program reads.
//!
//! A short campaign is a test like all others; `just torture files` makes it long. Every mutant follows from the seed
//! and its number.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::rushes::console::brief;
use ::rushes::env::trace::{Recording, compare};
use ::rushes::experiment::Spec;
use ::rushes::history::History;
use ::rushes::regression::{self, Scores};
use ::rushes::results::{self, SavedAgent};
use ::rushes::rng::{Purpose, Rng, stream};
use ::rushes::store::RunDir;
use ::rushes::trial::MemoryEstimate;
use ::rushes::{report, search, validation};
use rand::RngExt as _;
use serde_json::{Map, Value, json};

use crate::cli::{output, run_smoke, rushes};
use crate::experiments::shipped;

/// The most bytes that a message may have.
const LONGEST_MESSAGE: usize = 4096;

/// A number from the environment, which `tests/torture/files` sets.
fn setting(name: &str, short: u64) -> u64 {
    std::env::var(name).map_or(short, |text| text.parse().expect("a whole number"))
}

fn seed() -> u64 {
    setting("TORTURE_SEED", 0)
}

/// Changes values: what stands at one place of a document is replaced, removed, doubled or moved.
struct Mutator {
    /// Values to put anywhere: those of all documents, and extreme ones.
    values: Vec<Value>,
    /// Members of objects by their names.
    members: Vec<(String, Value)>,
}

impl Mutator {
    fn new(corpus: &[Value], extremes: &[Value]) -> Self {
        let mut mutator = Self { values: extremes.to_vec(), members: Vec::new() };
        corpus.iter().for_each(|document| mutator.learn(document));
        mutator
    }

    fn learn(&mut self, value: &Value) {
        self.values.push(value.clone());
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.members.push((name.clone(), field.clone()));
                    self.learn(field);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.learn(element)),
            _ => {}
        }
    }

    /// Changes one place of `document`.
    fn change(&self, document: &mut Value, rng: &mut Rng) {
        let places = count(document);
        let chosen = rng.random_range(0..places);
        let other = place(document, &mut rng.random_range(0..places)).expect("within").clone();
        let target = place(document, &mut { chosen }).expect("within");
        match (rng.random_range(0..8), &mut *target) {
            (0..=1, Value::Object(fields)) => {
                let (name, value) = &self.members[rng.random_range(0..self.members.len())];
                fields.insert(name.clone(), value.clone());
            }
            (2, Value::Object(fields)) if !fields.is_empty() => {
                let name = key(fields, rng);
                fields.shift_remove(&name);
            }
            (3, Value::Object(fields)) if !fields.is_empty() => {
                let name = key(fields, rng);
                let value = fields.shift_remove(&name).unwrap_or_default();
                fields.insert(misspelt(&name, rng), value);
            }
            (0..=1, Value::Array(elements)) if !elements.is_empty() => {
                let element = elements[rng.random_range(0..elements.len())].clone();
                elements.push(element);
            }
            (2, Value::Array(elements)) if !elements.is_empty() => {
                elements.swap_remove(rng.random_range(0..elements.len()));
            }
            (3..=4, Value::Number(number)) => *target = near(number, rng),
            (3, Value::String(text)) => *target = misspelt(text, rng).into(),
            (5, _) => *target = other,
            _ => *target = self.values[rng.random_range(0..self.values.len())].clone(),
        }
    }
}

/// The name of some member.
fn key(fields: &Map<String, Value>, rng: &mut Rng) -> String {
    let index = rng.random_range(0..fields.len());
    fields.keys().nth(index).cloned().unwrap_or_default()
}

/// How many values a document has, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(count).sum(),
        Value::Array(elements) => elements.iter().map(count).sum(),
        _ => 0,
    }
}

/// The value with this number, from the outside inwards.
fn place<'v>(value: &'v mut Value, number: &mut usize) -> Option<&'v mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Object(fields) => fields.values_mut().find_map(|field| place(field, number)),
        Value::Array(elements) => elements.iter_mut().find_map(|element| place(element, number)),
        _ => None,
    }
}

fn near(number: &serde_json::Number, rng: &mut Rng) -> Value {
    let value = number.as_f64().unwrap_or_default();
    match rng.random_range(0..7) {
        0 => json!(-value),
        1 => json!(value + 0.5),
        2 => json!(value * 1e3),
        3 => json!(value * 1e-3),
        4 => json!(value * 1e17),
        5 => json!(number.as_u64().unwrap_or_default().wrapping_sub(1)),
        _ => json!(number.as_u64().unwrap_or_default().wrapping_add(1)),
    }
}

fn misspelt(text: &str, rng: &mut Rng) -> String {
    let near = rng.random_range(0..=text.len());
    let at = (0..=near).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let inserted = ["", ".", "\"", "\u{1b}[2J", "é", "../", "\0", " ", "=", "{}"];
    let inserted = inserted[rng.random_range(0..inserted.len())];
    let cut = rng.random_range(0..4) == 0;
    format!("{}{inserted}{}", &text[..at], if cut { "" } else { &text[at..] })
}

/// Values at the edges of what types, fields and machines hold.
fn extremes(schema: &Value) -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(""),
        json!("x"),
        json!([]),
        json!({}),
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(0.5),
        json!(-0.0),
        json!(1.0),
        json!(1e3),
        json!(1e6),
        json!(1e9),
        json!(1e16),
        json!(1e300),
        json!(1e-300),
        json!(-1e300),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(1_u64 << 53),
        json!(u32::MAX),
        json!("NaN"),
        json!("threshold"),
        json!("auto"),
        json!("x".repeat(10_000)),
        json!("\u{1b}[31m\u{9b}\u{7f}\0"),
        json!([[[[[[[[0]]]]]]]]),
        json!(vec![1; 20_000]),
        json!({ "linear": 1.0, "to": 0.0 }),
        json!({ "steps": 7 }),
        json!({ "updates": 1 }),
        json!((0..500).map(|i| (format!("k{i}"), json!(i))).collect::<Map<_, _>>()),
        (0..100).fold(json!(1), |inner, _| json!([inner])),
        (0..100).fold(json!(1), |inner, _| json!({ "a": inner })),
    ];
    let mut limits = Vec::new();
    gather(schema, &mut limits);
    values.extend(
        limits.iter().flat_map(|limit| [json!(limit), json!(limit - 1.0), json!(limit + 1.0)]),
    );
    // Limits as whole numbers, which is how they are written.
    values.iter_mut().for_each(::rushes::env::input::whole_numbers);
    values
}

/// Every limit in a schema.
fn gather(schema: &Value, limits: &mut Vec<f64>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                let limit = matches!(
                    &**name,
                    "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum"
                );
                limits.extend(value.as_f64().filter(|_| limit));
                gather(value, limits);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| gather(element, limits)),
        _ => {}
    }
}

/// Changes bytes.
fn scribble(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, b"[".repeat(rng.random_range(1..5000))).for_each(drop),
            2 => bytes.splice(at..at, (0..4).map(|_| rng.random())).for_each(drop),
            3 => {
                let end = rng.random_range(at..=bytes.len().min(at + 200));
                let chunk = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, chunk).for_each(drop);
            }
            4 => {
                let end = rng.random_range(at..=bytes.len().min(at + 20));
                bytes.drain(at..end);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
    }
}

/// Writes the first key of some object twice.
fn repeat_key(text: &str, rng: &mut Rng) -> String {
    let keys: Vec<_> = text.match_indices("{\"").map(|(at, _)| at + 1).collect();
    if keys.is_empty() {
        return text.to_owned();
    }
    let at = keys[rng.random_range(0..keys.len())];
    let end = text[at + 1..].find('"').map_or(text.len(), |length| at + 2 + length);
    format!("{}{}:1,{}", &text[..at], &text[at..end], &text[at..])
}

/// A mutant of one of `corpus`, as bytes.
fn mutant(corpus: &[Value], mutator: &Mutator, rng: &mut Rng) -> Vec<u8> {
    let mut document = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..[1, 1, 1, 2, 3, 6][rng.random_range(0..6)] {
        mutator.change(&mut document, rng);
    }
    let mut text = document.to_string();
    if rng.random_range(0..20) == 0 {
        text = repeat_key(&text, rng);
    }
    let mut bytes = text.into_bytes();
    if rng.random_range(0..8) == 0 {
        scribble(&mut bytes, rng);
    }
    bytes
}

/// Watches that no mutant takes for ever, and what it says.
struct Watch {
    /// What is being tried on each thread, and since when.
    trying: Vec<Mutex<Option<(String, Instant)>>>,
    failures: Mutex<Vec<String>>,
    done: AtomicU64,
}

impl Watch {
    fn new(threads: usize) -> Self {
        Self {
            trying: (0..threads).map(|_| Mutex::default()).collect(),
            failures: Mutex::default(),
            done: AtomicU64::new(0),
        }
    }

    /// Tries something; notes a panic and a message that is too long.
    fn try_on<T, E: Display>(
        &self,
        thread: usize,
        what: &str,
        action: impl FnOnce() -> Result<T, E>,
    ) -> Option<T> {
        *self.trying[thread].lock().unwrap() = Some((what.to_owned(), Instant::now()));
        let result = catch_unwind(AssertUnwindSafe(action));
        *self.trying[thread].lock().unwrap() = None;
        self.done.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => {
                let message = brief(&format!("{error:#}")).into_owned();
                if message.len() > LONGEST_MESSAGE {
                    let start: String = message.chars().take(300).collect();
                    self.fail(format!("{what}: a message of {} bytes: {start}", message.len()));
                }
            }
            Err(panic) => self.fail(format!("{what}: panicked: {}", words(&*panic))),
        }
        None
    }

    fn fail(&self, failure: String) {
        eprintln!("{failure}");
        self.failures.lock().unwrap().push(failure);
    }

    /// Ends the process when something hangs: nothing else stops it.
    fn guard(&self) {
        const PATIENCE: Duration = Duration::from_secs(120);
        for trying in &self.trying {
            if let Some((what, since)) = &*trying.lock().unwrap()
                && since.elapsed() > PATIENCE
            {
                eprintln!("{what}: hangs");
                std::process::abort();
            }
        }
    }

    fn conclude(self, name: &str) {
        let failures = self.failures.into_inner().unwrap();
        eprintln!("{name}: {} tried, {} failures", self.done.into_inner(), failures.len());
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// Does `work` with the numbers from 0 to `count` on all cores.
fn on_all_cores(count: u64, watch: &Watch, work: impl Fn(usize, u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..watch.trying.len())
            .map(|thread| {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        work(thread, number);
                    }
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            watch.guard();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The shipped experiments, as they are written and with every default.
fn experiments() -> Vec<Value> {
    let mut corpus = Vec::new();
    for file in shipped() {
        let text = std::fs::read_to_string(&file).unwrap();
        corpus.push(serde_json::from_str(&text).unwrap());
        corpus.push(json!(validation::load(&file, &[]).unwrap()));
    }
    corpus
}

/// What a run looks at before anything is trained.
fn before_training(spec: Spec) -> anyhow::Result<()> {
    let plan = search::plan(spec)?;
    validation::missing_engines(&plan)?;
    MemoryEstimate::of(&plan)?;
    Ok(())
}

#[test]
fn mutated_experiments_are_refused_in_words_or_run() {
    let corpus = experiments();
    let mutator = Mutator::new(&corpus, &extremes(&validation::schema()));
    let validator = validation::validator();
    let watch = Watch::new(threads());
    let accepted = Mutex::new(Vec::new());
    let runs = setting("TORTURE_RUNS", 4);
    let file = Path::new("mutant.json");
    on_all_cores(setting("TORTURE_MUTANTS", 3000), &watch, |thread, number| {
        let mut rng = stream(seed(), Purpose::Search, number);
        let Ok(text) = String::from_utf8(mutant(&corpus, &mutator, &mut rng)) else { return };
        let what = format!("experiment {number}");
        let spec = watch.try_on(thread, &what, || validation::parse(file, &text, &[], &validator));
        let Some(spec) = spec else { return };
        watch.try_on(thread, &what, || before_training(spec));
        let mut accepted = accepted.lock().unwrap();
        // Of every kind: the accepted ones are spread over the whole campaign.
        accepted.push((number, text));
        if accepted.len() as u64 > 2 * runs.max(1) {
            let mut kept = false;
            accepted.retain(|_| {
                kept = !kept;
                kept
            });
        }
    });
    let mut accepted = accepted.into_inner().unwrap();
    accepted.truncate(runs as usize);
    eprintln!("{} of the accepted ones are run", accepted.len());
    let folder = tempfile::tempdir().unwrap();
    let cut = AtomicU64::new(0);
    on_all_cores(accepted.len() as u64, &watch, |thread, index| {
        let (number, text) = &accepted[index as usize];
        let what = format!("run of experiment {number}");
        let ended = watch.try_on(thread, &what, || run_quickly(folder.path(), *number, text));
        cut.fetch_add(u64::from(ended == Some(End::Cut)), Ordering::Relaxed);
    });
    eprintln!("{} of them were interrupted while they trained", cut.into_inner());
    watch.conclude("experiments");
}

/// Runs a program of the system.
fn system(program: &str, arguments: &[&str]) {
    let status = std::process::Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

/// How a run of a mutant ended, where it did as it should.
#[derive(Debug, PartialEq)]
enum End {
    /// With a report, or with a failure that only the training or the machine can tell.
    Own,
    /// It took long, was interrupted and said so.
    Cut,
}

/// Runs an accepted mutant, cut short.
fn run_quickly(folder: &Path, number: u64, text: &str) -> Result<End, String> {
    let file = folder.join(format!("{number}.json"));
    std::fs::write(&file, text).unwrap();
    let out = folder.join(number.to_string());
    let arguments = [
        "run",
        file.to_str().unwrap(),
        "--quick",
        "--jobs",
        "1",
        "--output",
        out.to_str().unwrap(),
    ];
    let mut child = rushes(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let began = Instant::now();
    // Long trainings are legitimate: 1000 epochs of a wide network. They are stopped as a user would.
    let cut = loop {
        if child.try_wait().expect("a child").is_some() {
            break false;
        }
        if began.elapsed() > Duration::from_secs(20) {
            system("kill", &["-INT", &child.id().to_string()]);
            break true;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let ended = child.wait_with_output().expect("a child");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let _ = std::fs::remove_dir_all(&out);
    // What only the machine or the training itself can tell.
    let excused = ["not finite", "not a number", "needs an NVIDIA GPU", "this machine has", "GPU"];
    let expected = match ended.status.code() {
        Some(0) => true,
        Some(130) => cut,
        Some(1 | 2) => excused.iter().any(|reason| stderr.contains(reason)),
        _ => false,
    };
    if expected && !stderr.contains("panicked") {
        return Ok(if cut { End::Cut } else { End::Own });
    }
    let kept = std::env::temp_dir().join(format!("torture-{}-{number}.json", seed()));
    std::fs::write(&kept, text).unwrap();
    panic!("{} ended with {}: {stderr}", kept.display(), ended.status);
}

/// Everything that reads a run directory.
fn read_run(watch: &Watch, thread: usize, what: &str, run: &Path, baseline: &Path) {
    let open = || RunDir::open(run);
    let scores = watch.try_on(thread, what, || {
        let summary = results::summary(&open()?)?;
        let baseline = Scores::read(baseline)?;
        let scores = Scores::from_summary(&summary, Some(&baseline));
        regression::decide(&baseline, &scores, &open()?.plan()?.experiment.check)
    });
    if let Some(decision) = scores {
        watch.try_on(thread, what, || anyhow::Ok(regression::text(&decision)));
    }
    watch.try_on(thread, what, || report::render(&[open()?], &report::Options::default()));
    watch.try_on(thread, what, || {
        let agent = SavedAgent::open(run, Some("reinforce"))?;
        agent.play_in(&agent.environment)
    });
}

#[test]
fn mutated_files_of_runs_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let original = run_smoke(folder.path(), &["--quick"]);
    let output_folder = folder.path().to_owned();
    let baseline = folder.path().join("baseline.json");
    let (run, file) = (original.to_str().unwrap(), baseline.to_str().unwrap());
    assert!(output(&["baseline", run, "-o", file]).status.success());
    let trial = original.join("trials/reinforce--s0");
    let mut files = vec![baseline, output_folder.join("history.sqlite")];
    let decided = [("started", 0), ("reached", 100), ("promoted", 100)].map(|(event, rung)| {
        let score = (event == "reached").then_some(0.5);
        json!({ "agent": "a", "sample": 0, "event": event, "rung": rung, "score": score })
            .to_string()
            + "\n"
    });
    std::fs::write(original.join("decisions.jsonl"), decided.concat()).unwrap();
    let names = ["plan.json", "run.json", "summary.json", "decisions.jsonl"];
    files.extend(names.map(|name| original.join(name)));
    let names = ["trial.json", "result.json", "events.jsonl", "policy.safetensors"];
    files.extend(names.map(|name| trial.join(name)));
    let documents = |files: &[PathBuf]| -> Vec<Value> {
        let json = files.iter().filter(|file| file.extension().is_some_and(|e| e == "json"));
        json.map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
    };
    let mutator = Mutator::new(&documents(&files), &extremes(&validation::schema()));
    let watch = Watch::new(threads());
    // Each thread breaks files of a copy of its own.
    let copies: Vec<_> = (0..threads())
        .map(|thread| {
            let copy = folder.path().join(format!("copy-{thread}"));
            std::fs::create_dir(&copy).unwrap();
            let inside = |name: &str| output_folder.join(name).to_str().unwrap().to_owned();
            let parts = ["smoke", "history.sqlite", "baseline.json"].map(inside);
            system("cp", &["-r", &parts[0], &parts[1], &parts[2], copy.to_str().unwrap()]);
            copy
        })
        .collect();
    on_all_cores(setting("TORTURE_MUTANTS", 3000) / 100, &watch, |thread, number| {
        let mut rng = stream(seed() ^ 1 << 40, Purpose::Search, number);
        let file = &files[rng.random_range(0..files.len())];
        let inside = file.strip_prefix(&output_folder).unwrap();
        let what = format!("{} {number}", inside.display());
        let whole = std::fs::read(file).unwrap();
        let changed = match serde_json::from_slice::<Value>(&whole) {
            Ok(document) => mutant(&[document], &mutator, &mut rng),
            Err(_) if inside.extension().is_some_and(|e| e == "jsonl") => {
                let mut lines: Vec<Vec<u8>> =
                    whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let at = rng.random_range(0..lines.len() - 1);
                let line: Value = serde_json::from_slice(&lines[at]).unwrap();
                lines[at] = mutant(&[line], &mutator, &mut rng);
                lines.join(&b'\n')
            }
            Err(_) => mutated_binary(whole.clone(), &mutator, &mut rng),
        };
        let copy = copies[thread].join(inside);
        std::fs::write(&copy, changed).unwrap();
        let run = copies[thread].join(original.strip_prefix(&output_folder).unwrap());
        read_run(&watch, thread, &what, &run, &copies[thread].join("baseline.json"));
        watch.try_on(thread, &what, || {
            let history = History::open_existing(&copies[thread])?;
            history.map(|history| history.runs("smoke")).transpose()
        });
        std::fs::write(&copy, whole).unwrap();
    });
    watch.conclude("files of runs");
}

/// Bytes changed anywhere, or the JSON in the header of a safetensors file.
fn mutated_binary(mut bytes: Vec<u8>, mutator: &Mutator, rng: &mut Rng) -> Vec<u8> {
    if let Ok(mut tensors) = ::rushes::nn::Tensors::from_bytes(&bytes)
        && rng.random()
    {
        let mut header = json!(tensors.metadata);
        mutator.change(&mut header, rng);
        if let Value::Object(header) = header {
            tensors.metadata = serde_json::from_value(header.into()).expect("an object");
            return tensors.to_bytes().expect("a header");
        }
    }
    scribble(&mut bytes, rng);
    bytes
}

#[test]
fn mutated_recordings_are_refused_in_words() {
    let goldens = [
        "CartPole-v1-bounds",
        "Taxi-v3",
        "Blackjack-v1-sab",
        "FrozenLake-v1-desc",
        "Pendulum-v1-options",
    ];
    let corpus = goldens.map(|name| {
        let text = std::fs::read_to_string(format!("tests/goldens/{name}.json")).unwrap();
        let mut recording: Value = serde_json::from_str(&text).unwrap();
        let trajectories = recording["trajectories"].as_array_mut().unwrap();
        trajectories.truncate(1);
        recording
    });
    let mutator = Mutator::new(&corpus[1..2], &extremes(&validation::schema()));
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::new(threads());
    on_all_cores(setting("TORTURE_MUTANTS", 3000) / 20, &watch, |thread, number| {
        let mut rng = stream(seed() ^ 2 << 40, Purpose::Search, number);
        let file = folder.path().join(format!("{thread}.json"));
        std::fs::write(&file, mutant(&corpus, &mutator, &mut rng)).unwrap();
        watch.try_on(thread, &format!("recording {number}"), || {
            let recording = Recording::read(&file)?;
            for (index, recorded) in recording.trajectories.iter().enumerate() {
                compare(recorded, &recording.replay(index)?)?;
            }
            anyhow::Ok(())
        });
    });
    watch.conclude("recordings");
}
