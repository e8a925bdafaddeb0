//! What a run is held against on its page: the experiment's earlier runs, and its baseline.

use crate::history::{History, RecordedRun};
use crate::regression::Scores;
use crate::results::RunData;
use crate::store;

/// What lies beside a run.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The recorded runs of the experiment, from the history beside the runs.
    pub(super) runs: Vec<RecordedRun>,
    /// The experiment's baseline: `baselines/NAME.json` below the working directory.
    pub(super) baseline: Option<Scores>,
}

impl Past {
    /// Reads what lies beside `run`; what cannot be read becomes one of the run's notes.
    pub(super) fn read(run: &mut RunData) -> Self {
        let name = &run.plan.experiment.name;
        let recorded = History::open_existing(&run.dir.output())
            .and_then(|history| history.map_or(Ok(Vec::new()), |history| history.runs(name)));
        let runs = recorded.unwrap_or_else(|error| {
            run.notes.push(format!("earlier runs are not shown: {error:#}"));
            Vec::new()
        });
        let file = store::baseline(name);
        let baseline = match file.exists().then(|| Scores::read(&file)).transpose() {
            Ok(baseline) => baseline,
            Err(error) => {
                run.notes.push(format!("the baseline is not shown: {error:#}"));
                None
            }
        };
        Self { runs, baseline }
    }
}
