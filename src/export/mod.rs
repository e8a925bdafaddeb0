//! Runs for other programs: TensorBoard's event files, CSV, and policies as ONNX and as folders for a model hub.

use crate::experiment::{Plan, TrialPlan};
use crate::record::{Record, TrialResult, UnsafeName};
use crate::store::{RunDir, TrialDir};

pub mod csv;
pub mod hub;
pub mod onnx;
pub mod tensorboard;

/// A trial that is over.
struct Finished<'a> {
    plan: &'a TrialPlan,
    dir: TrialDir,
    result: TrialResult,
}

impl Finished<'_> {
    /// Its events; policies that do not learn may have none.
    fn records(&self) -> anyhow::Result<Vec<Record>> {
        match self.dir.events() {
            Err(error) if error.is::<UnsafeName>() => Err(error),
            log => Ok(log.map(|log| log.records).unwrap_or_default()),
        }
    }
}

/// The trials of a run that have a readable result; the others are left out.
///
/// # Errors
/// Fails if there are none, or a name leads out of the run's directory.
fn finished<'a>(run: &RunDir, plan: &'a Plan) -> anyhow::Result<Vec<Finished<'a>>> {
    let mut finished = Vec::new();
    for plan in &plan.trials {
        let dir = run.trial(&plan.id);
        match dir.result() {
            Ok(result) => finished.push(Finished { plan, dir, result }),
            Err(error) if error.is::<UnsafeName>() => return Err(error),
            Err(_) => {}
        }
    }
    anyhow::ensure!(
        !finished.is_empty(),
        "no trial of {} has a readable result yet; nothing was written",
        run.path().display()
    );
    Ok(finished)
}
