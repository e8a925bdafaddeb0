//! What a user sees while trials run: bars on a terminal, plain lines elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Observer;
use super::pace::Pace;
use super::samples::Samples;
use crate::console::{self, Tone};
use crate::experiment::{Plan, SchedulerSpec, TrialPlan};
use crate::format;
use crate::record::{Event, Outcome, Progress, Record, StopReason, TrialResult};
use crate::stats;

/// How often what a bar says is written anew: events come much faster.
const REFRESH: Duration = Duration::from_millis(100);
/// How long it takes at least until a plain line tells of the same trial again, and how much of its schedule.
const PLAIN_PERIOD: Duration = Duration::from_secs(30);
const PLAIN_SHARE: f64 = 0.05;
/// How long it takes at least until the table of a search's samples is written again.
const TABLE_PERIOD: Duration = Duration::from_secs(60);
/// A bar has so many steps.
const BAR: u64 = 1000;

/// Shows the progress of a run.
pub struct Display {
    bars: Option<Bars>,
    state: Mutex<State>,
}

/// What is drawn on a terminal.
struct Bars {
    all: MultiProgress,
    /// The best sample of a search, below the trials.
    best: ProgressBar,
    /// Of the whole run, the last one.
    total: ProgressBar,
}

/// What is known of the run.
struct State {
    started: Instant,
    running: HashMap<String, Shown>,
    /// All trials, those of a search's later rounds included.
    trials: usize,
    /// The searched values by agent and number of the sample, as people read them.
    samples: HashMap<(String, usize), String>,
    /// How samples stand.
    stand: Samples,
    /// The search's scheduler.
    scheduler: SchedulerSpec,
    /// When the table of samples was written last, or the run began.
    table: Instant,
    /// The mean returns of a sample's trials that have ended.
    returns: HashMap<(String, usize), Vec<f64>>,
    /// Trials that began or went on, by their ids.
    begun: HashSet<String>,
    ended: usize,
    failed: usize,
    /// Those that had ended before this run was resumed.
    before: usize,
}

/// A running trial.
struct Shown {
    bar: ProgressBar,
    pace: Pace,
    /// When it was told of last, and how far it had come.
    told: (Instant, f64),
}

impl Display {
    /// A display for `plan`: bars where stderr is a terminal that can show them and `plain` is not set.
    pub fn new(plan: &Plan, plain: bool) -> Self {
        let all = MultiProgress::new();
        // Hidden where stderr is no terminal, or one that cannot move its cursor (`TERM=dumb`).
        let bars = (!plain && !all.is_hidden()).then(|| {
            let total =
                all.add(ProgressBar::new(0).with_style(style("{bar:14.cyan/dim} {wide_msg}")));
            let best =
                all.insert_before(&total, ProgressBar::new(0).with_style(style("{wide_msg}")));
            Bars { all, best, total }
        });
        let display = Self {
            bars,
            state: Mutex::new(State {
                started: Instant::now(),
                running: HashMap::new(),
                trials: 0,
                samples: HashMap::new(),
                stand: Samples::default(),
                scheduler: SchedulerSpec::default(),
                table: Instant::now(),
                returns: HashMap::new(),
                begun: HashSet::new(),
                ended: 0,
                failed: 0,
                before: 0,
            }),
        };
        display.planned(plan);
        display
    }

    /// Says that the run is about to end early.
    pub fn finishing(&self) {
        self.line(
            "ending early: what runs is evaluated where it stands, nothing else begins; Ctrl-C again aborts the run, \
             which can be resumed",
        );
    }

    /// The run is over: the samples of a search are told of a last time, the bars go away.
    pub fn close(&self) {
        self.tell_samples(Duration::ZERO);
        if let Some(bars) = &self.bars {
            bars.best.finish_and_clear();
            bars.total.finish_and_clear();
        }
    }

    fn line(&self, line: &str) {
        match &self.bars {
            // A terminal that went away is no reason to stop.
            Some(bars) => drop(bars.all.println(line)),
            None => console::styled(line),
        }
    }

    /// Writes how the samples of a search stand, at most once in a `period`.
    fn tell_samples(&self, period: Duration) {
        let mut state = self.state();
        if state.table.elapsed() < period {
            return;
        }
        let table = state.table();
        drop(state);
        for (index, line) in table.into_iter().flatten().enumerate() {
            let line = console::printable(&line).into_owned();
            self.line(&if index == 0 { Tone::Faint.paint(&line) } else { line });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    /// Draws the whole run's bar, once something runs.
    fn draw_total(&self, state: &State) {
        let Some(bars) = self.bars.as_ref().filter(|_| !state.begun.is_empty()) else { return };
        bars.total.set_length(BAR * state.trials as u64);
        bars.total.set_position((BAR as f64 * state.share()) as u64);
        bars.total.set_message(state.summary(Instant::now()));
        if let Some((values, mean)) = state.best() {
            let mean = Tone::Strong.paint(&format::number(mean));
            bars.best.set_message(format!("best so far: mean return {mean} with {values}"));
        }
    }
}

impl Observer for Display {
    fn planned(&self, plan: &Plan) {
        let mut state = self.state();
        let experiment = &plan.experiment;
        let search = experiment.search.as_ref();
        state.scheduler = search.map(|search| search.scheduler.clone()).unwrap_or_default();
        let samples = |agent: &String| {
            search
                .filter(|search| search.searches(agent))
                .map_or(1, |search| search.count(experiment, agent))
        };
        let everywhere = |agent| samples(agent).saturating_mul(experiment.environments_of(agent));
        let agents: u64 = experiment.agents.keys().map(everywhere).fold(0, u64::saturating_add);
        let expected = match plan.looks {
            0 => agents.saturating_mul(experiment.seeds.all.len() as u64),
            // More seeds may follow, or none.
            _ => 0,
        };
        state.trials = usize::try_from(expected).unwrap_or(usize::MAX).max(plan.trials.len());
        for sample in &plan.samples {
            let values = (sample.values.iter()).map(|(path, value)| {
                let name = path.rsplit('.').next().unwrap_or(path);
                let value = match value.as_f64() {
                    // Learning rates differ by their first digits.
                    Some(number) if number != 0.0 && number.abs() < 0.01 => format!("{number:.2e}"),
                    Some(number) => format::number(number),
                    None => format::shorten(&value.to_string(), 24),
                };
                format!("{name}={value}")
            });
            let values = console::printable(&values.collect::<Vec<_>>().join(" ")).into_owned();
            state.samples.insert((sample.agent.clone(), sample.number), values);
        }
        self.draw_total(&state);
    }

    fn started(&self, plan: &TrialPlan) {
        let mut state = self.state();
        let bar = match &self.bars {
            Some(bars) => {
                let label = console::printable(&state.label(plan)).into_owned();
                let bar = ProgressBar::new(BAR).with_prefix(label);
                let bar = bar.with_style(style("  {bar:12.green/dim} {prefix:.bold} {wide_msg}"));
                bars.all.insert_before(&bars.best, bar)
            }
            None => ProgressBar::hidden(),
        };
        let now = Instant::now();
        let shown = Shown { bar, pace: Pace::new(plan, now), told: (now, 0.0) };
        shown.bar.set_message("starting");
        state.running.insert(plan.id.clone(), shown);
        state.stand.starts(plan);
        state.begun.insert(plan.id.clone());
        if let Some(bars) = &self.bars {
            bars.total.enable_steady_tick(Duration::from_millis(500));
        }
        self.draw_total(&state);
    }

    fn event(&self, plan: &TrialPlan, record: &Record) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(shown) = state.running.get_mut(&plan.id) else { return };
        shown.pace.see(record);
        let (told, share) = shown.told;
        let since = now.duration_since(told);
        let line = match (&self.bars, &record.event) {
            (_, Event::Note { message }) => {
                let message = console::brief(&format!("note: {message}")).into_owned();
                Some(format!("{}: {message}", console::printable(&state.label(plan))))
            }
            (Some(_), event) if since >= REFRESH || matches!(event, Event::Stopped { .. }) => {
                shown.told = (now, shown.pace.share());
                shown.bar.set_position((BAR as f64 * shown.pace.share()) as u64);
                shown.bar.set_message(told_of(&shown.pace, now));
                self.draw_total(&state);
                None
            }
            (None, _) if since >= PLAIN_PERIOD && shown.pace.share() - share >= PLAIN_SHARE => {
                shown.told = (now, shown.pace.share());
                let told = told_of(&shown.pace, now);
                Some(format!("{}: {told}", console::printable(&state.label(plan))))
            }
            _ => None,
        };
        drop(state);
        if let Some(line) = line {
            self.line(&line);
        }
    }

    fn ended(&self, plan: &TrialPlan, result: &TrialResult) {
        self.stopped(plan);
        let mut state = self.state();
        state.end(plan, result);
        self.draw_total(&state);
        let line = format!("{}: {}", console::printable(&state.label(plan)), outcome(plan, result));
        // Those that an earlier attempt ended were told of then.
        let is_news = state.begun.contains(&plan.id);
        drop(state);
        if is_news {
            self.line(&line);
        }
        self.tell_samples(TABLE_PERIOD);
    }

    fn stopped(&self, plan: &TrialPlan) {
        let mut state = self.state();
        if let Some(shown) = state.running.remove(&plan.id) {
            shown.bar.finish_and_clear();
            state.stand.pauses(plan, &shown.pace);
        }
        drop(state);
        self.tell_samples(TABLE_PERIOD);
    }

    fn died(&self, plan: &TrialPlan, cause: &str) {
        let label = self.state().label(plan);
        self.line(&Tone::Bad.paint(&console::brief(&format!("{label}: {cause}"))));
    }

    fn again(&self, plan: &TrialPlan) {
        let label = self.state().label(plan);
        self.line(&console::brief(&format!("{label}: it is run again")));
    }

    fn note(&self, message: &str) {
        self.line(&console::brief(message));
    }
}

impl State {
    /// Takes note of a trial that is over.
    fn end(&mut self, plan: &TrialPlan, result: &TrialResult) {
        self.ended += 1;
        self.failed += usize::from(result.outcome.failed());
        self.before += usize::from(!self.begun.contains(&plan.id));
        self.stand.ends(plan, result);
        let mean = result.after.as_ref().and_then(|after| stats::mean(&after.returns));
        if let (Some(sample), Some(mean)) = (plan.sample, mean) {
            self.returns.entry((plan.agent.clone(), sample)).or_default().push(mean);
        }
    }

    /// How the samples of a search stand, where that is news.
    fn table(&mut self) -> Option<Vec<String>> {
        self.table = Instant::now();
        let pace = |id: &str| self.running.get(id).map(|shown| &shown.pace);
        self.stand.table(&self.scheduler, &self.samples, pace)
    }

    /// How much of the run is done, in trials.
    fn share(&self) -> f64 {
        let running: f64 = self.running.values().map(|shown| shown.pace.share()).sum();
        self.ended as f64 + running
    }

    /// How the run stands, for its bar.
    fn summary(&self, now: Instant) -> String {
        let mut parts = vec![format!("{}/{} trials", self.ended, self.trials)];
        let to_come = self.trials.saturating_sub(self.ended + self.running.len());
        if to_come > 0 {
            parts.push(format!("{} to come", format::count(to_come as u64)));
        }
        if self.failed > 0 {
            parts.push(Tone::Bad.paint(&format!("{} failed", self.failed)));
        }
        let took = now.duration_since(self.started).as_secs_f64();
        parts.push(clock(took));
        let done = self.share() - self.before as f64;
        let left = took * (self.trials as f64 - self.share()) / done;
        if done >= 0.05 && left.is_finite() {
            parts.push(format!("{} left", clock(left)));
        }
        parts.join(" · ")
    }

    /// The values of the sample with the greatest mean return so far, and that return.
    fn best(&self) -> Option<(&str, f64)> {
        let scored = self.returns.iter().filter_map(|(sample, returns)| {
            Some((self.samples.get(sample)?.as_str(), stats::mean(returns)?))
        });
        scored.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// What a trial is called: its agent, the values that a search gave it, its seed.
    fn label(&self, plan: &TrialPlan) -> String {
        let values = |sample| self.samples.get(&(plan.agent.clone(), sample));
        let (agent, seed) = (plan.agent_name(), plan.seed);
        match plan.sample.map(|sample| (sample, values(sample))) {
            Some((sample, Some(values))) => {
                format!("{agent} (sample {sample}: {values}, seed {seed})")
            }
            Some((sample, None)) => format!("{agent} (sample {sample}, seed {seed})"),
            None => format!("{agent} (seed {seed})"),
        }
    }
}

/// How a trial comes on, in words.
fn told_of(pace: &Pace, now: Instant) -> String {
    let Progress { episodes, steps, .. } = pace.progress();
    let mut parts = vec![format!("{:.0} %", 100.0 * pace.share())];
    if pace.is_trained() {
        parts.push("is evaluated".into());
    } else if let Some(left) = pace.left(now) {
        parts.push(format!("{} left", clock(left.as_secs_f64())));
    }
    parts.extend(pace.mean_return().map(|mean| format!("mean return {}", format::number(mean))));
    parts.extend(pace.steps_per_second().map(|speed| format!("{} steps/s", format::number(speed))));
    parts.push(format!("{} episodes, {} steps", format::count(episodes), format::count(steps)));
    parts.join(" · ")
}

/// How a trial ended, in words.
fn outcome(plan: &TrialPlan, result: &TrialResult) -> String {
    let Progress { episodes, steps, .. } = result.progress;
    let reached = format!("{} episodes, {} steps", format::count(episodes), format::count(steps));
    let mean = result.after.as_ref().and_then(|after| stats::mean(&after.returns));
    match (&result.outcome, mean) {
        (Outcome::Failed { error }, _) => Tone::Bad.paint(&format!("FAILED: {error}")),
        (Outcome::Completed { stop_reason }, Some(mean)) => {
            let trained = match plan.settings.schedule() {
                Some(_) => {
                    format!(" after {reached} in {}", format::seconds(result.training_seconds))
                }
                None => String::new(),
            };
            let early = if *stop_reason == Some(StopReason::User) { ", ended early" } else { "" };
            format!("mean return {}{trained}{early}", Tone::Strong.paint(&format::number(mean)))
        }
        (Outcome::Completed { .. }, None) => format!("stopped by the search after {reached}"),
    }
}

/// A duration as a bar shows it: `0:07`, `12:30`, `3:05:00`.
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole / 3600 {
        0 => format!("{}:{:02}", whole / 60, whole % 60),
        hours => format!("{hours}:{:02}:{:02}", whole / 60 % 60, whole % 60),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Evaluation;

    /// A search of three samples with two seeds each.
    fn searched() -> Plan {
        let experiment = crate::validation::check(&json!({
            "name": "shown",
            "environment": { "id": "CartPole-v1" },
            "seeds": 2,
            "agents": {
                "learner": {
                    "policy": { "type": "neural" },
                    "training": { "algorithm": { "name": "reinforce" }, "schedule": { "steps": 9 } },
                },
                "random": { "policy": { "type": "random" } },
            },
            "search": { "parameters": {
                "agents.learner.training.algorithm.learning_rate": { "grid": [0.1, 0.2, 0.3] },
            } },
        }));
        let mut plan =
            Plan::new(experiment.expect("a valid experiment")).expect("settings that fit");
        let rate = "agents.learner.training.algorithm.learning_rate";
        let sample = |(number, value): (usize, &f64)| crate::experiment::Sample {
            agent: "learner".into(),
            number,
            values: [(rate.to_owned(), json!(value))].into(),
            parent: None,
        };
        plan.add([0.1, 0.2].iter().enumerate().map(sample).collect()).expect("values that fit");
        plan
    }

    #[test]
    fn a_search_tells_its_values_its_best_sample_and_what_is_to_come() {
        let plan = searched();
        let display = Display::new(&plan, true);
        let trials: Vec<_> = plan.trials.iter().filter(|trial| trial.sample.is_some()).collect();
        display.started(trials[0]);
        for (trial, mean) in trials.iter().zip([1.0, 2.0, 5.0]) {
            let after = Evaluation {
                seed: Some(0),
                returns: vec![mean],
                lengths: vec![1],
                cut: Vec::new(),
            };
            display.ended(trial, &TrialResult { after: Some(after), ..trial.empty_result() });
        }
        let state = display.state();
        assert_eq!(state.label(trials[0]), "learner (sample 0: learning_rate=0.1, seed 0)");
        assert_eq!(state.best(), Some(("learning_rate=0.2", 5.0)));
        assert_eq!((state.trials, state.ended, state.before), (8, 3, 2), "the third sample counts");
        let summary = state.summary(state.started);
        assert!(summary.starts_with("3/8 trials · 5 to come · 0:00"), "{summary}");
        drop(state);
        display.started(trials[3]);
        let record = |steps, r#return| {
            let progress = Progress { episodes: steps, steps, updates: 0 };
            let event = Event::Episode { r#return, length: Some(1), truncated: Some(false) };
            Record { progress, seconds: 0.0, event }
        };
        display.event(trials[3], &record(4, 3.0));
        let table = display.state().table().expect("news");
        let expected = [
            "sample                        state    rung  steps  mean return",
            "learner 1: learning_rate=0.2  running  –     0      4",
            "learner 0: learning_rate=0.1  done     –     0      1.5",
        ];
        assert_eq!(table, expected);
        assert_eq!(display.state().table(), None, "nothing has happened since");
    }

    #[test]
    fn durations_are_clocks() {
        assert_eq!([7.2, 750.0, 11_100.0].map(clock), ["0:07", "12:30", "3:05:00"]);
    }
}
