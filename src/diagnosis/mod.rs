//! Why an agent does not learn: signs in what its trials wrote down, each with its evidence and what to try.
//!
//! ```text
//! Trial ──Course──▶ does it learn? ──no──▶ signs ──most of the agent's seeds──▶ Finding
//! ```
//! A sign is a function of a trial's numbers and settings (`signs.rs`); which of them are told was measured on planted faults
//! and on healthy runs (`tests/diagnosis/run`, `docs/diagnosis.md`). Nothing is played or trained anew for them.

mod course;
mod signs;

use serde::Serialize;

use self::course::Course;
use self::signs::{SIGNS, Seen};
use crate::format;
use crate::results::{RunData, is_quick};

/// So many findings of an agent are told; what comes first explains most.
const MOST: usize = 2;

/// Why an agent does not learn, as far as its runs tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The finding's name, its heading in `docs/diagnosis.md`.
    pub name: &'static str,
    /// The agent, `ENVIRONMENT/AGENT` in a suite.
    pub agent: String,
    /// On how many of the agent's seeds it is seen.
    pub seeds: usize,
    /// How many of its seeds are over.
    pub of: usize,
    /// What is seen.
    pub what: String,
    /// The numbers that say so, of the seed in which it is plainest to see.
    pub evidence: String,
    /// What to try.
    pub advice: String,
}

impl Finding {
    /// The finding as one sentence and what to try.
    pub fn sentence(&self) -> String {
        let Self { agent, seeds, of, what, evidence, advice, .. } = self;
        let all = format::plural(*of, "seed");
        format!("{agent}: {what} ({seeds} of {all}: {evidence}). {advice}")
    }
}

/// What is seen in a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialDiagnosis {
    /// The trial's directory below `trials/`.
    pub trial: String,
    /// The agent, `ENVIRONMENT/AGENT` in a suite.
    pub agent: String,
    /// The trial's seed.
    pub seed: u64,
    /// The mean return before training.
    pub start: f64,
    /// The mean return after it.
    pub end: f64,
    /// The return that counts as learned: the schedule's goal or the environment's reward threshold, where there is one.
    pub aim: Option<f64>,
    /// Whether it learns.
    pub learns: bool,
    /// Names of the signs that are seen, with their evidence, what explains most first; none where it learns.
    pub signs: Vec<(&'static str, String)>,
}

/// What a run's trials show.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diagnosis {
    /// What is told of whole agents.
    pub findings: Vec<Finding>,
    /// Every trial of an agent that learns, of searched agents those of the best sample.
    pub trials: Vec<TrialDiagnosis>,
}

impl Diagnosis {
    /// Looks for signs in the trials of a run that are over.
    ///
    /// # Errors
    /// Fails if the settings of a suite's part do not fit.
    pub fn of(run: &RunData) -> anyhow::Result<Self> {
        Ok(match run.plan.experiment.is_suite() {
            true => Self::of_parts(&run.parts()?),
            false => Self::of_parts([run]),
        })
    }

    /// Looks for signs in the trials of a run's parts that are over.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a RunData>) -> Self {
        let mut all = Self::default();
        for part in parts {
            // Nothing learns in so short a time.
            if part.info.as_ref().is_some_and(is_quick) {
                continue;
            }
            for agent in part.summary.agents.iter().filter(|agent| agent.learns) {
                let courses: Vec<_> = part
                    .trials_of(&agent.name)
                    .filter_map(|trial| Course::of(part, trial))
                    .collect();
                let name = match &part.environment_name {
                    Some(environment) => format!("{environment}/{}", agent.name),
                    None => agent.name.clone(),
                };
                all.add(name, &courses);
            }
        }
        all
    }

    fn add(&mut self, agent: String, courses: &[Course]) {
        let seen: Vec<Vec<Seen>> = courses.iter().map(signs::seen).collect();
        let of = courses.len();
        let failing = courses.iter().filter(|course| !course.learns()).count();
        let told = SIGNS
            .iter()
            .filter_map(|sign| {
                let here: Vec<&Seen> = seen
                    .iter()
                    .filter_map(|seen| seen.iter().find(|s| s.sign.name == sign.name))
                    .collect();
                let plainest = here.iter().max_by(|a, b| a.strength.total_cmp(&b.strength))?;
                // A sign on a few of many seeds that do not learn explains little.
                (2 * here.len() > failing).then(|| Finding {
                    name: sign.name,
                    agent: agent.clone(),
                    seeds: here.len(),
                    of,
                    what: sign.what.into(),
                    evidence: plainest.evidence.clone(),
                    advice: sign.advice.into(),
                })
            })
            .take(MOST);
        self.findings.extend(told);
        self.trials.extend(courses.iter().zip(seen).map(|(course, seen)| TrialDiagnosis {
            trial: course.trial.plan.id.clone(),
            agent: agent.clone(),
            seed: course.trial.plan.seed,
            start: course.start,
            end: course.end,
            aim: course.aim,
            learns: course.learns(),
            signs: seen.into_iter().map(|seen| (seen.sign.name, seen.evidence)).collect(),
        }));
    }
}
