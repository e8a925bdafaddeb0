//! How long training took to the goal that its schedule stops at, and to the environment's reward threshold.

use indexmap::IndexSet;

use super::Section;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::{FULL, Size};
use crate::report::model::{Report, Series};
use crate::report::plot::{Horizontal, Plot, PlotLine};
use crate::results::aggregate::Against;
use crate::results::{AgentSummary, Reached, SeedSummary};
use crate::{format, stats};

/// The section.
pub(super) struct Threshold;

impl Section for Threshold {
    fn id(&self) -> &'static str {
        "threshold"
    }

    fn title(&self) -> &'static str {
        "Training time to threshold"
    }

    fn lead(&self, report: &Report) -> String {
        let threshold = "the environment's reward threshold when the mean return of training, over its curve's whole \
                         window, first reaches it";
        match Milestone::Goal.learners(report).is_empty() {
            true => format!("A seed arrives at {threshold}."),
            false => format!(
                "A seed arrives at its goal when its schedule's stop rule holds, and at {threshold}. Where training \
                 stops at a goal below the threshold, few seeds go on to it."
            ),
        }
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        for milestone in [Milestone::Goal, Milestone::Threshold] {
            let learners = milestone.learners(report);
            if learners.is_empty() {
                continue;
            }
            let mut seeds = learners.iter().flat_map(|learner| &learner.seeds);
            if seeds.all(|seed| milestone.reached(seed).is_none()) {
                let aims: IndexSet<String> =
                    learners.iter().map(|learner| format::number(learner.aim)).collect();
                let aims = format::list(&aims.into_iter().collect::<Vec<_>>());
                let short = learners.iter().filter_map(|learner| {
                    let why = milestone.out_of_reach(report.summary(learner.series))?;
                    Some(format!(" {}: {why}.", learner.series.label))
                });
                let short: String = short.collect();
                blocks.push(Block::text(format!(
                    "No seed has reached the {} of {aims} in training.{short}",
                    milestone.name()
                )));
                continue;
            }
            blocks.push(Block::Table(milestone.table(&learners)));
            blocks.extend(milestone.figure(&learners)?.map(Block::Figure));
        }
        Ok(blocks)
    }
}

/// What seeds arrive at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Milestone {
    /// What an agent's schedule stops at.
    Goal,
    /// The environment's reward threshold.
    Threshold,
}

/// An agent with the return that it has to reach, and its trained seeds.
struct Learner<'a> {
    number: usize,
    series: &'a Series,
    aim: f64,
    seeds: Vec<&'a SeedSummary>,
}

impl Milestone {
    fn name(self) -> &'static str {
        match self {
            Self::Goal => "goal",
            Self::Threshold => "reward threshold",
        }
    }

    fn reached(self, seed: &SeedSummary) -> Option<&Reached> {
        match self {
            Self::Goal => seed.goal_reached.as_ref(),
            Self::Threshold => seed.threshold_reached.as_ref(),
        }
    }

    /// Why no seed of an agent can have reached it, where its trainings were too short.
    fn out_of_reach(self, agent: &AgentSummary) -> Option<String> {
        let windowed =
            self == Self::Threshold || agent.goal.is_some_and(|goal| goal.window.is_some());
        windowed.then(|| agent.short_of_window()).flatten()
    }

    /// The agents that have it before them.
    fn learners(self, report: &Report) -> Vec<Learner<'_>> {
        let threshold = report.threshold();
        let learner = |(number, series)| {
            let summary = report.summary(series);
            let aim = match self {
                Self::Goal => summary.goal?.r#return,
                Self::Threshold => threshold?,
            };
            let seeds: Vec<_> = summary.seeds().filter(|seed| !seed.curve.is_empty()).collect();
            (!seeds.is_empty()).then_some(Learner { number, series, aim, seeds })
        };
        report.learners().filter_map(learner).collect()
    }

    fn table(self, learners: &[Learner<'_>]) -> Table {
        let rows = learners.iter().map(|learner| {
            let arrived = learner.seeds.iter().filter(|seed| self.reached(seed).is_some()).count();
            let mut cells = vec![
                learner.series.cell(),
                Cell::new(format::number(learner.aim)),
                Cell::new(format!("{arrived} of {}", learner.seeds.len())),
            ];
            for against in Against::ALL {
                let times: Vec<_> =
                    learner.seeds.iter().map(|seed| self.time(seed, against)).collect();
                let median = stats::median_time(&times);
                let reached = || times.iter().filter(|(_, reached)| *reached).map(|(at, _)| *at);
                let write = |value: f64| match against {
                    Against::Seconds => format::seconds(value),
                    _ => format::number(value),
                };
                let cell = Cell::new(median.map_or("not reached".into(), write));
                let range = reached().min_by(f64::total_cmp).zip(reached().max_by(f64::total_cmp));
                cells.push(match range {
                    Some((first, last)) if learner.seeds.len() > 1 => {
                        cell.with_note(format!("{} to {}", write(first), write(last)))
                    }
                    _ => cell,
                });
            }
            Row { cells, class: "" }
        });
        let columns = [
            ("agent", false),
            (self.name(), true),
            ("seeds", true),
            ("steps", true),
            ("episodes", true),
            ("training time", true),
        ];
        Table {
            caption: format!(
                "Median over seeds until training reaches the {}, with the first and the last arrival; seeds that never arrive count \
                 as longer than they were trained (Kaplan–Meier).",
                self.name()
            ),
            columns: columns.map(|(title, number)| (title.to_owned(), number)).into(),
            rows: rows.collect(),
        }
    }

    /// The share of seeds that have arrived.
    fn figure(self, learners: &[Learner<'_>]) -> anyhow::Result<Option<Figure>> {
        let seeds = || learners.iter().flat_map(|learner| &learner.seeds);
        let end =
            |against: Against| seeds().map(|seed| self.time(seed, against).0).fold(0.0, f64::max);
        let lines = learners.iter().map(|learner| {
            let middle = Against::ALL.map(|against| {
                let reached = learner.seeds.iter().filter_map(|seed| self.reached(seed));
                let mut arrivals: Vec<f64> = reached.map(|at| against.of(at)).collect();
                arrivals.sort_unstable_by(f64::total_cmp);
                staircase(&arrivals, learner.seeds.len(), end(against))
            });
            PlotLine::plain(learner.number, learner.series, middle.into())
        });
        let plot = Plot {
            id: match self {
                Self::Goal => "seeds-at-goal".into(),
                Self::Threshold => "seeds-at-threshold".into(),
            },
            title: format!("Seeds that have reached the {} in training", self.name()),
            y: "share of seeds arrived".into(),
            share: true,
            x: Against::ALL.map(Horizontal::from).into(),
            lines: lines.collect(),
            ..Plot::default()
        };
        plot.figure(&FULL.map(|size| Size { height: size.height * 2 / 3, ..size }))
    }

    /// When a seed arrived, or how long it was trained in vain.
    fn time(self, seed: &SeedSummary, against: Against) -> (f64, bool) {
        match self.reached(seed) {
            Some(reached) => (against.of(reached), true),
            None => {
                let curve = &seed.curve;
                let last = Reached {
                    episodes: curve.episodes.last().copied().unwrap_or(0),
                    steps: curve.steps.last().copied().unwrap_or(0),
                    seconds: curve.seconds.last().copied().unwrap_or(0.0),
                };
                (against.of(&last), false)
            }
        }
    }
}

/// The share that has arrived, rising at each arrival.
fn staircase(arrivals: &[f64], of: usize, end: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    for (index, &at) in arrivals.iter().enumerate() {
        points.push((at, index as f64 / of as f64));
        points.push((at, (index + 1) as f64 / of as f64));
    }
    points.push((end, arrivals.len() as f64 / of as f64));
    points
}
