//! The runs that a report shows, and the series (an agent in a run) that all its sections speak of.

use std::path::{Path, PathBuf};

use super::block::{Cell, LegendEntry};
use super::data::{RunData, Trial};
use super::summary::{AgentSummary, PolicyKind, SeedSummary};
use crate::stats;

/// Colours for agents that learn; `style.css` defines as many.
const LEARNER_COLORS: usize = 8;

/// Everything that sections draw from.
pub struct Report {
    /// The runs, in the order they were given.
    pub runs: Vec<RunData>,
    /// Every agent of every run.
    pub series: Vec<Series>,
    /// The directory that the page will lie in: links are relative to it.
    pub folder: PathBuf,
    /// Whether videos are put into the page.
    pub standalone: bool,
}

/// An agent in a run.
#[derive(Debug, Clone)]
pub struct Series {
    /// The run's number.
    pub run: usize,
    /// The agent's number in the run's summary.
    pub agent: usize,
    /// The agent's name.
    pub name: String,
    /// The name as the page shows it: with the run's letter where there are several.
    pub label: String,
    /// CSS classes: a colour for the agent, a dash pattern for the run.
    pub class: String,
    /// Whether it is trained.
    pub learns: bool,
    /// The mean return of each seed's evaluation after training: what statistics over seeds are made of.
    pub scores: Vec<f64>,
    /// The same before training.
    pub before: Vec<f64>,
}

impl Report {
    /// Gives every agent its place and its colour.
    pub fn new(runs: Vec<RunData>, folder: PathBuf, standalone: bool) -> Self {
        let mut colors: Vec<(String, String)> = Vec::new();
        let (mut learners, mut baselines) = (0, 0);
        let mut series = Vec::new();
        let several = runs.len() > 1;
        for (run, data) in runs.iter().enumerate() {
            for (agent, summary) in data.summary.agents.iter().enumerate() {
                let known = colors.iter().find(|(name, _)| *name == summary.name);
                let color = known.map(|(_, color)| color.clone()).unwrap_or_else(|| {
                    let color = if summary.learns {
                        learners += 1;
                        format!("c{}", (learners - 1) % LEARNER_COLORS)
                    } else if summary.policy == PolicyKind::Random {
                        "random".to_owned()
                    } else {
                        baselines += 1;
                        format!("b{}", (baselines - 1) % 3)
                    };
                    colors.push((summary.name.clone(), color.clone()));
                    color
                });
                series.push(Series {
                    run,
                    agent,
                    name: summary.name.clone(),
                    label: match several {
                        true => format!("{} · {}", summary.name, letter(run)),
                        false => summary.name.clone(),
                    },
                    class: format!("{color} d{}", run % 4),
                    learns: summary.learns,
                    scores: scores(summary, |seed| &seed.final_returns),
                    before: scores(summary, |seed| &seed.before_returns),
                });
            }
        }
        Self { runs, series, folder, standalone }
    }

    /// Whether runs are compared.
    pub fn several(&self) -> bool {
        self.runs.len() > 1
    }

    /// The summary of a series.
    pub fn summary(&self, series: &Series) -> &AgentSummary {
        &self.runs[series.run].summary.agents[series.agent]
    }

    /// The trials of a series.
    pub fn trials<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a Trial> {
        self.runs[series.run].trials_of(&series.name)
    }

    /// Every return of every seed's evaluation after training.
    pub fn final_returns(&self, series: &Series) -> Vec<f64> {
        let seeds = &self.summary(series).seeds;
        seeds.iter().flat_map(|seed| seed.final_returns.iter().copied()).collect()
    }

    /// The reward threshold that all runs agree on.
    pub fn threshold(&self) -> Option<f64> {
        let first = self.runs.first()?.summary.reward_threshold;
        self.runs.iter().all(|run| run.summary.reward_threshold == first).then_some(first)?
    }

    /// The agents that learn.
    pub fn learners(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate().filter(|(_, series)| series.learns)
    }

    /// A link from the page to a file.
    pub fn link(&self, file: &Path) -> String {
        relative(file, &self.folder).iter().map(percent_encoded).collect::<Vec<_>>().join("/")
    }
}

impl Series {
    /// The cell that names it.
    pub fn cell(&self) -> Cell {
        Cell { swatch: self.class.clone(), ..Cell::new(self.label.clone()) }
    }

    /// Its entry in a legend.
    pub fn legend(&self, number: usize) -> LegendEntry {
        LegendEntry { series: number, label: self.label.clone(), class: self.class.clone() }
    }

    /// The mean over seeds of the evaluation after training.
    pub fn mean(&self) -> Option<f64> {
        stats::mean(&self.scores)
    }
}

/// A run's letter in comparisons.
pub fn letter(run: usize) -> String {
    match u8::try_from(run) {
        Ok(n @ 0..26) => char::from(b'A' + n).to_string(),
        _ => format!("R{}", run + 1),
    }
}

fn scores(agent: &AgentSummary, returns: impl Fn(&SeedSummary) -> &Vec<f64>) -> Vec<f64> {
    agent.seeds.iter().filter_map(|seed| stats::mean(returns(seed))).collect()
}

/// The parts of the path from `folder` to `file`, both absolute.
fn relative(file: &Path, folder: &Path) -> Vec<String> {
    let (file, folder): (Vec<_>, Vec<_>) =
        (file.components().collect(), folder.components().collect());
    let shared = file.iter().zip(&folder).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), folder.len() - shared);
    let down = file[shared..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect()
}

/// A part of a path as URLs write it.
fn percent_encoded(part: &String) -> String {
    let mut encoded = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_encoded() {
        let link =
            |file: &str, folder: &str| relative(Path::new(file), Path::new(folder)).join("/");
        assert_eq!(link("/o/c/r1/trials/a/x.mp4", "/o/c/r1"), "trials/a/x.mp4");
        assert_eq!(link("/o/c/r1/x.mp4", "/o/c/r2"), "../r1/x.mp4");
        assert_eq!(percent_encoded(&"a b#?%\"é".to_owned()), "a%20b%23%3F%25%22%C3%A9");
    }

    #[test]
    fn runs_have_letters() {
        assert_eq!([letter(0), letter(25), letter(26)], ["A", "Z", "R27"]);
    }
}
