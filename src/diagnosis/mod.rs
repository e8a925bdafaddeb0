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

/// Where two groups of seeds are looked for, there are so many at least.
const ENOUGH_SEEDS: usize = 6;

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
        let mut all = Self::default();
        // Nothing learns in so short a time.
        if run.info.as_ref().is_some_and(is_quick) {
            return Ok(all);
        }
        for part in run.parts()? {
            for agent in part.summary.agents.iter().filter(|agent| agent.learns) {
                let courses: Vec<_> = part
                    .trials_of(&agent.name)
                    .filter_map(|trial| Course::of(&part, trial))
                    .collect();
                let name = match &part.environment_name {
                    Some(environment) => format!("{environment}/{}", agent.name),
                    None => agent.name.clone(),
                };
                all.add(name, &courses);
            }
        }
        Ok(all)
    }

    fn add(&mut self, agent: String, courses: &[Course]) {
        let seen: Vec<Vec<Seen>> = courses.iter().map(signs::seen).collect();
        let of = courses.len();
        let mut told: Vec<Finding> = SIGNS
            .iter()
            .filter_map(|sign| {
                let here: Vec<&Seen> = seen
                    .iter()
                    .filter_map(|seen| seen.iter().find(|s| s.sign.name == sign.name))
                    .collect();
                let failing = courses.iter().filter(|course| !course.learns()).count();
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
            .take(MOST)
            .collect();
        let ends = courses.iter().map(|course| (course.end, course.learns())).collect();
        told.extend(two_groups(&agent, ends));
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

/// That the seeds of an agent end in two groups, by each seed's mean return and whether it learns: some learn, the others do
/// not, and nothing lies between.
fn two_groups(agent: &str, mut ends: Vec<(f64, bool)>) -> Option<Finding> {
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let gap = |index: &usize| ends[*index].0 - ends[index - 1].0;
    let split = (1..ends.len()).max_by(|a, b| gap(a).total_cmp(&gap(b)))?;
    let (low, high) = ends.split_at(split);
    let spread = |group: &[(f64, bool)]| group[group.len() - 1].0 - group[0].0;
    let apart = gap(&split) > spread(low).max(spread(high));
    let parted = low.iter().all(|(_, learns)| !learns) && high.iter().all(|(_, learns)| *learns);
    if ends.len() < ENOUGH_SEEDS || low.len() < 2 || high.len() < 2 || !apart || !parted {
        return None;
    }
    let range = |group: &[(f64, bool)]| {
        format!("{} to {}", format::number(group[0].0), format::number(group[group.len() - 1].0))
    };
    Some(Finding {
        name: "two-groups",
        agent: agent.into(),
        seeds: low.len(),
        of: ends.len(),
        what: "it fails altogether on some seeds and learns on the others".into(),
        evidence: format!("returns of {} and of {}", range(low), range(high)),
        advice: "A mean over these seeds describes neither group: report both, and make learning steadier with a smaller \
                 `learning_rate`, more episodes an update or a bonus for entropy."
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::two_groups;

    #[test]
    fn seeds_that_part_into_two_groups_are_told_and_others_are_not() {
        let of =
            |ends: &[f64]| two_groups("a", ends.iter().map(|end| (*end, *end > 250.0)).collect());
        let parted = of(&[9.0, 500.0, 480.0, 11.0, 10.0, 500.0]).expect("two groups");
        assert_eq!((parted.seeds, parted.of), (3, 6));
        assert_eq!(parted.evidence, "returns of 9 to 11 and of 480 to 500");
        assert_eq!(of(&[9.0, 100.0, 200.0, 300.0, 400.0, 500.0]), None, "evenly spread");
        assert_eq!(
            of(&[9.0, 480.0, 490.0, 500.0, 495.0, 485.0]),
            None,
            "one that fails is no group"
        );
        assert_eq!(of(&[9.0, 500.0, 10.0, 490.0]), None, "too few seeds");
        assert_eq!(of(&[9.0, 11.0, 10.0, 100.0, 101.0, 102.0]), None, "none of them learns");
    }
}
