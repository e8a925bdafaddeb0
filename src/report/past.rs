//! What a run is held against on its page: the experiment's earlier runs, and its baseline.

use crate::history::{History, RecordedRun};
use crate::record::RunStatus;
use crate::regression::{self, Decision, Scores};
use crate::results::RunData;
use crate::store;

/// What lies beside a run.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The recorded runs of the experiment, from the history beside the runs.
    pub(super) runs: Vec<RecordedRun>,
    /// The baseline that the run is checked against, else the experiment's: `baselines/NAME.json` below the working
    /// directory.
    pub(super) baseline: Option<Scores>,
    /// The verdict, where the run is checked.
    pub(super) decision: Option<Decision>,
    /// What of it could not be read.
    pub(super) notes: Vec<String>,
}

impl Past {
    /// Reads what lies beside `run`.
    pub(super) fn read(run: &RunData) -> Self {
        let name = &run.plan.experiment.name;
        let mut notes = Vec::new();
        let recorded = History::open_existing(&run.dir.output())
            .and_then(|history| history.map_or(Ok(Vec::new()), |history| history.runs(name)));
        let runs = recorded.unwrap_or_else(|error| {
            notes.push(format!("earlier runs are not shown: {error:#}"));
            Vec::new()
        });
        let checked = run.dir.baseline().exists();
        let file = if checked { run.dir.baseline() } else { store::baseline(name) };
        let read = (checked || file.exists()).then(|| Scores::read(&file)).transpose();
        let baseline = read.unwrap_or_else(|error| {
            notes.push(format!("the baseline is not shown: {error:#}"));
            None
        });
        let goes_on = run.info.as_ref().is_some_and(|info| info.status == RunStatus::Running);
        let decision = baseline.as_ref().filter(|_| checked && !goes_on).and_then(|baseline| {
            let decided = regression::decide_run(baseline, &run.dir, &run.summary);
            decided.map_err(|error| notes.push(format!("the run is not checked: {error:#}"))).ok()
        });
        Self { runs, baseline, decision, notes }
    }
}
