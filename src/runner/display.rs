//! What a user sees while trials run: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Observer;
use crate::console;
use crate::experiment::{Plan, ScheduleSpec, TrialPlan};
use crate::record::{Event, Outcome, Progress, Record, TrialResult};
use crate::stats::MovingMean;

/// How many episodes the shown mean return looks back.
const WINDOW: usize = 25;

/// Shows the progress of a run.
pub struct Display {
    bars: Option<MultiProgress>,
    total: ProgressBar,
    trials: Mutex<HashMap<String, Shown>>,
}

/// A running trial.
struct Shown {
    bar: ProgressBar,
    recent: MovingMean,
}

impl Display {
    /// A display for `plan`: bars where stderr is a terminal that can show them and `plain` is not set.
    pub fn new(plan: &Plan, plain: bool) -> Self {
        // Hidden where stderr is no terminal, or one that cannot move its cursor (`TERM=dumb`).
        let bars = Some(MultiProgress::new()).filter(|bars| !plain && !bars.is_hidden());
        let total = match &bars {
            Some(bars) => {
                let style = ProgressStyle::with_template("{bar:30} {pos}/{len} trials {elapsed}");
                bars.add(
                    ProgressBar::new(plan.trials.len() as u64)
                        .with_style(style.expect("the template is valid")),
                )
            }
            None => ProgressBar::hidden(),
        };
        Self { bars, total, trials: Mutex::new(HashMap::new()) }
    }

    fn record(&self, plan: &TrialPlan, record: &Record) {
        let Record { progress, event, .. } = record;
        match event {
            Event::Episode { r#return, .. } => {
                if let Some(shown) = self.shown().get_mut(&plan.id) {
                    let (mean, _) = shown.recent.push(*r#return);
                    shown.bar.set_position((1000.0 * share(plan, *progress)) as u64);
                    shown.bar.set_message(format!("{} mean return {mean:.1}", reached(*progress)));
                }
            }
            Event::Evaluation { returns, .. } if progress.steps > 0 && self.bars.is_none() => {
                let mean = returns.iter().sum::<f64>() / returns.len() as f64;
                let so_far = reached(*progress);
                self.line(&format!("{}: {so_far}, evaluated at {mean:.1}", label(plan)));
            }
            Event::Note { message } => self.line(&format!("{}: note: {message}", label(plan))),
            _ => {}
        }
    }

    /// Says that the run is about to end early.
    pub fn finishing(&self) {
        self.line(
            "ending early: what runs is evaluated where it stands, nothing else begins; Ctrl-C again aborts the run, \
             which can be resumed",
        );
    }

    /// The run is over: the bars go away.
    pub fn close(&self) {
        self.total.finish_and_clear();
    }

    fn line(&self, line: &str) {
        match &self.bars {
            // A terminal that went away is no reason to stop.
            Some(bars) => drop(bars.println(console::brief(line))),
            None => console::message(line),
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, HashMap<String, Shown>> {
        self.trials.lock().expect("no thread panics with the lock")
    }
}

impl Observer for Display {
    fn expect(&self, trials: usize) {
        self.total.set_length(trials as u64);
    }

    fn started(&self, plan: &TrialPlan) {
        let bar = match &self.bars {
            Some(bars) => {
                let style = ProgressStyle::with_template("  {bar:20} {prefix} {msg}");
                let bar = ProgressBar::new(1000).with_prefix(label(plan));
                bars.insert_before(
                    &self.total,
                    bar.with_style(style.expect("the template is valid")),
                )
            }
            None => ProgressBar::hidden(),
        };
        let shown = Shown { bar, recent: MovingMean::new(WINDOW) };
        self.shown().insert(plan.id.clone(), shown);
    }

    fn event(&self, plan: &TrialPlan, record: &Record) {
        self.record(plan, record);
    }

    fn ended(&self, plan: &TrialPlan, result: &TrialResult) {
        self.stopped(plan);
        self.total.inc(1);
        let outcome = match (&result.outcome, &result.after) {
            (Outcome::Failed { error }, _) => format!("FAILED: {error}"),
            (Outcome::Completed { .. }, Some(after)) => {
                let mean = after.returns.iter().sum::<f64>() / after.returns.len() as f64;
                let trained = match plan.settings.schedule() {
                    Some(_) => format!(
                        " after {} in {:.1} s",
                        reached(result.progress),
                        result.training_seconds
                    ),
                    None => String::new(),
                };
                format!("mean return {mean:.1}{trained}")
            }
            (Outcome::Completed { .. }, None) => {
                format!("stopped by the search after {}", reached(result.progress))
            }
        };
        self.line(&format!("{}: {outcome}", label(plan)));
    }

    fn stopped(&self, plan: &TrialPlan) {
        if let Some(shown) = self.shown().remove(&plan.id) {
            shown.bar.finish_and_clear();
        }
    }

    fn again(&self, plan: &TrialPlan, cause: &str) {
        self.line(&format!("{}: {cause}; it is run again", label(plan)));
    }
}

fn label(plan: &TrialPlan) -> String {
    match plan.sample {
        Some(sample) => format!("{} (sample {sample}, seed {})", plan.agent, plan.seed),
        None => format!("{} (seed {})", plan.agent, plan.seed),
    }
}

fn reached(Progress { episodes, steps, .. }: Progress) -> String {
    format!("{episodes} episodes, {steps} steps")
}

/// How much of the schedule is used up, from 0 to 1, by whichever limit is the nearest.
fn share(plan: &TrialPlan, progress: Progress) -> f64 {
    let Some(schedule) = plan.settings.schedule() else { return 0.0 };
    let ScheduleSpec { episodes, steps, updates, .. } = *schedule;
    let part =
        |limit: Option<u64>, done: u64| limit.map_or(0.0, |limit| done as f64 / limit as f64);
    part(episodes, progress.episodes)
        .max(part(steps, progress.steps))
        .max(part(updates, progress.updates))
        .min(1.0)
}
