//! What a run that goes on is doing, at the top of its page.

use serde::Serialize;

use super::model::Report;
use crate::format;
use crate::results::TrialProgress;

/// The block at the top.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Status {
    /// When it was written, in milliseconds since 1970, UTC.
    written: i64,
    headline: String,
    trials: Vec<Running>,
    /// The command that goes on with the run, should it have been stopped.
    resume: String,
}

/// A trial under way.
#[derive(Debug, Clone, Serialize)]
struct Running {
    label: String,
    /// How much of its schedule is used up; nothing for a policy that does not learn.
    share: Option<f64>,
    state: String,
}

/// Reads the status off the run; nothing where it does not go on.
pub(super) fn status(report: &Report) -> Option<Status> {
    let progress = report.progress.as_ref()?;
    let run = report.wholes.first()?;
    let resume = format!("--resume={}", run.dir.path().display());
    Some(Status {
        written: jiff::Timestamp::now().as_millisecond(),
        headline: format!("Running: {}", progress.sentence()),
        trials: progress.running.iter().map(running).collect(),
        resume: format::shell_line(&["rushes", "run", &resume]),
    })
}

fn running(trial: &TrialProgress) -> Running {
    let sample = trial.sample.map_or(String::new(), |sample| format!("sample {sample}, "));
    let mut state = Vec::new();
    if let Some(share) = trial.share {
        state.push(format!("{} %", (share * 100.0).floor()));
        state.push(format!("{} steps", format::count(trial.progress.steps)));
        state.push(format::plural(trial.progress.episodes as usize, "episode"));
    }
    state.extend(trial.recent_return.map(|mean| format!("mean return {}", format::number(mean))));
    state.extend(trial.evaluated.map(|mean| format!("last evaluation {}", format::number(mean))));
    let left = trial.seconds_left.filter(|left| *left > 0.0);
    state.extend(left.map(|left| format!("{} left", format::seconds(left.ceil()))));
    Running {
        label: format!("{}, {sample}seed {}", trial.agent, trial.seed),
        share: trial.share.map(|share| (share * 1e3).round() / 1e3),
        state: if state.is_empty() { "is evaluated or filmed".into() } else { state.join(" · ") },
    }
}
