//! The takes: videos of the policies, played in sync.

use std::path::Path;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::Section;
use crate::format;
use crate::record::{Moment, Take, TakeRecord};
use crate::report::block::Block;
use crate::report::model::{Report, Series};
use crate::report::player::{Link, Player, Shown};
use crate::results::{Filmed, Reached};
use crate::stats;

/// Takes that the page opens with, beside the pair before and after.
const MOST_OTHERS: usize = 4;
/// Numbers that all traces together may have before they are thinned out.
const TRACE_BUDGET: usize = 150_000;

/// The section.
pub(crate) struct Takes;

/// A take with where it belongs.
struct Found<'a> {
    number: usize,
    series: &'a Series,
    seed: u64,
    record: &'a TakeRecord,
    /// How far training had come.
    at: Option<Reached>,
    url: String,
    poster: String,
    /// Where what was thought at every frame is; empty where that was not kept.
    numbers: String,
}

impl Section for Takes {
    fn id(&self) -> &'static str {
        "takes"
    }

    fn title(&self) -> &'static str {
        "Takes"
    }

    fn lead(&self, _: &Report) -> String {
        "Before, during and after training, on the same episode seed; training episodes have seeds of their own. One set \
         of controls moves all takes; the trace below a take is its return so far."
            .into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let takes = find(report)?;
        if takes.is_empty() {
            return Ok(vec![Block::text("Nothing was filmed in this run, or no video is left.")]);
        }
        let (chosen, pair) = choose(report, &takes);
        let shown = chosen.iter().enumerate().map(|(place, &number)| {
            let Found { series, record, url, poster, .. } = &takes[number];
            Shown {
                number,
                link: Link { url: url.clone(), label: label(&takes[number]) },
                width: record.take.width,
                height: record.take.height,
                class: series.class.clone(),
                agent: series.label.clone(),
                moment: moment(&takes[number]),
                seed: takes[number].seed,
                returns: format::list(
                    &record.take.returns.iter().map(|r| format::number(*r)).collect::<Vec<_>>(),
                ),
                poster: poster.clone(),
                eager: place < 2,
            }
        });
        Ok(vec![Block::Player(Player {
            shown: shown.collect(),
            pair,
            data: data(report, &takes, &chosen),
            list: if report.standalone {
                Vec::new()
            } else {
                takes
                    .iter()
                    .map(|take| Link { url: take.url.clone(), label: label(take) })
                    .collect()
            },
        })])
    }
}

fn find(report: &Report) -> anyhow::Result<Vec<Found<'_>>> {
    let mut takes = Vec::new();
    for series in &report.series {
        for trial in report.trials(series) {
            let dir = report.runs[series.run].dir.trial(&trial.plan.id);
            for Filmed { record, at } in &trial.takes {
                let picture = dir.file(&record.poster);
                let poster = picture.is_file().then(|| address(report, &picture, "image/png"));
                let url = address(report, &dir.file(&record.file), "video/mp4")?;
                let numbers = record.numbers.as_ref().map(|numbers| dir.file(numbers));
                let numbers = numbers.filter(|numbers| numbers.is_file());
                let numbers = numbers.map(|numbers| address(report, &numbers, "text/html"));
                takes.push(Found {
                    number: takes.len(),
                    series,
                    seed: trial.plan.seed,
                    record,
                    at: *at,
                    url,
                    poster: poster.transpose()?.unwrap_or_default(),
                    numbers: numbers.transpose()?.unwrap_or_default(),
                });
            }
        }
    }
    Ok(takes)
}

/// Where the page finds a file of a run: inside itself, or beside it.
fn address(report: &Report, file: &Path, kind: &str) -> anyhow::Result<String> {
    if !report.standalone {
        return Ok(report.link(file));
    }
    Ok(format!("data:{kind};base64,{}", BASE64.encode(&fs_err::read(file)?)))
}

/// The takes to open with, and whether the first two are a pair: a learning agent before and after training
/// (its best seed would flatter, so the first), then the other agents as they are in the end, the one with the greatest
/// mean return before the others. For several runs: the learning agents after training, each in every run. For a suite:
/// the best agent that learns in each environment, after training.
fn choose(report: &Report, takes: &[Found<'_>]) -> (Vec<usize>, bool) {
    let of = |series: &Series, moment| {
        let of = |take: &&Found<'_>| {
            take.record.moment == moment
                && (take.series.run, &take.series.name) == (series.run, &series.name)
        };
        let first = takes.iter().find(of)?;
        // Of those during training, the seed's latest.
        let latest = takes.iter().filter(of).take_while(|take| take.seed == first.seed).last();
        latest.map(|take| take.number)
    };
    let last = |series: &Series| {
        [Moment::After, Moment::During, Moment::Training, Moment::Before]
            .iter()
            .find_map(|&moment| of(series, moment))
    };
    let (mut learners, mut others): (Vec<&Series>, Vec<&Series>) = report
        .series
        .iter()
        .filter(|series| last(series).is_some())
        .partition(|series| series.learns);
    if report.suite_scores().is_some() {
        let best = report.environments().into_iter().filter_map(|(_, part)| {
            let filmed = part.series.iter().filter(|one| one.learns && last(one).is_some());
            let mean = |one: &Series| one.mean().unwrap_or(f64::NEG_INFINITY);
            last(filmed.max_by(|a, b| mean(a).total_cmp(&mean(b)))?)
        });
        return (best.take(2 + MOST_OTHERS).collect(), true);
    }
    if report.several() {
        let shown = if learners.is_empty() { others } else { learners };
        return (shown.into_iter().take(2 + MOST_OTHERS).filter_map(last).collect(), true);
    }
    let mut chosen = Vec::new();
    if !learners.is_empty() {
        let first = learners.remove(0);
        chosen.extend(of(first, Moment::Before));
        chosen.extend(last(first).filter(|number| !chosen.contains(number)));
    }
    let pair = chosen.len() == 2;
    others.extend(learners);
    let mean = |series: &Series| series.mean().unwrap_or(f64::NEG_INFINITY);
    let winner = (0..others.len()).max_by(|&a, &b| mean(others[a]).total_cmp(&mean(others[b])));
    if let Some(winner) = winner {
        others[..=winner].rotate_right(1);
    }
    chosen.extend(others.into_iter().take(MOST_OTHERS).filter_map(last));
    (chosen, pair)
}

/// "after training", "at 20k steps".
fn moment(take: &Found<'_>) -> String {
    match take.record.moment {
        Moment::After if !take.series.learns => String::new(),
        Moment::After => "after training".into(),
        Moment::Before => "before training".into(),
        Moment::During => match (number(take, "step-"), take.at) {
            (Some(steps), Some(Reached { episodes, .. })) => {
                format!("at episode {}, step {}", format::count(episodes), format::count(steps))
            }
            (Some(steps), None) => format!("at step {}", format::count(steps)),
            (None, _) => format!("during training ({})", take.record.file.trim_end_matches(".mp4")),
        },
        Moment::Training => match number(take, "episode-") {
            Some(episode) => format!("training episode {}", format::count(episode)),
            None => format!("in training ({})", take.record.file.trim_end_matches(".mp4")),
        },
    }
}

/// The number that a video's name has behind `prefix`: `step-N.mp4` was filmed at that step.
fn number(take: &Found<'_>, prefix: &str) -> Option<u64> {
    take.record.file.strip_suffix(".mp4")?.strip_prefix(prefix)?.parse().ok()
}

/// "best seed", "median seed", "worst seed" for the takes after training of those, by their evaluation; nothing for the
/// others, and where fewer than three seeds of an agent were filmed.
fn ranks(report: &Report, takes: &[Found<'_>]) -> Vec<Option<&'static str>> {
    let mut ranks = vec![None; takes.len()];
    for series in &report.series {
        let seeds = &report.summary(series).seeds;
        let score = |seed: u64| {
            let summary = seeds.iter().find(|summary| summary.seed == seed)?;
            stats::mean(&summary.final_returns)
        };
        let mut filmed: Vec<(f64, usize)> = takes
            .iter()
            .filter(|take| {
                take.record.moment == Moment::After
                    && (take.series.run, take.series.agent) == (series.run, series.agent)
            })
            .filter_map(|take| Some((score(take.seed)?, take.number)))
            .collect();
        filmed.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let [(_, worst), .., (_, best)] = filmed[..]
            && filmed.len() > 2
        {
            ranks[worst] = Some("worst seed");
            ranks[filmed[filmed.len() / 2].1] = Some("median seed");
            ranks[best] = Some("best seed");
        }
    }
    ranks
}

/// "cut after 1,000 steps", where an episode was.
fn cut(take: &Found<'_>) -> Option<String> {
    let Take { cut, lengths, .. } = &take.record.take;
    let steps = cut.iter().zip(lengths).find_map(|(&cut, &steps)| cut.then_some(steps))?;
    Some(format!("cut after {} steps", format::count(steps.into())))
}

fn label(take: &Found<'_>) -> String {
    let moment = moment(take);
    let comma = if moment.is_empty() { "" } else { ", " };
    let cut = cut(take).map_or_else(String::new, |cut| format!(", {cut}"));
    format!("{}{comma}{moment}, seed {}{cut}", take.series.label, take.seed)
}

/// Everything the script needs to show any take.
fn data(report: &Report, takes: &[Found<'_>], shown: &[usize]) -> Value {
    let frames: usize = takes.iter().map(|take| take.record.take.frames as usize).sum();
    let stride = frames.div_ceil(TRACE_BUDGET).max(1);
    let ranks = ranks(report, takes);
    let takes: Vec<Value> = takes
        .iter()
        .map(|found| {
            let take = &found.record.take;
            let (trace, starts) = trace(&take.rewards, stride);
            // A video inside the page is in it once.
            let inside = report.standalone && shown.contains(&found.number);
            json!({
                "poster": found.poster,
                "numbers": found.numbers,
                "at": found.at,
                "rank": ranks[found.number],
                "url": if inside { Value::Null } else { json!(found.url) },
                "run": json!(report.place(found.series.run)),
                "agent": found.series.label,
                "name": found.series.name,
                "class": found.series.class,
                "seed": found.seed,
                "episode_seeds": take.seeds,
                "moment": moment(found),
                "when": found.record.moment,
                "label": label(found),
                "fps": take.fps,
                "frames": take.frames,
                "width": take.width,
                "height": take.height,
                "returns": take.returns,
                "starts": starts,
                "stride": stride,
                "trace": trace,
            })
        })
        .collect();
    json!({ "takes": takes, "shown": shown })
}

/// The return so far at every `stride`th frame, and the frame that each episode begins with. An episode has
/// one frame more than rewards, the first.
fn trace(rewards: &[Vec<f32>], stride: usize) -> (Vec<f64>, Vec<usize>) {
    let mut trace = Vec::new();
    let mut starts = Vec::new();
    for episode in rewards {
        starts.push(trace.len());
        let mut sum = 0.0;
        trace.push(0.0);
        for reward in episode {
            sum += f64::from(*reward);
            trace.push((sum * 1e3).round() / 1e3);
        }
    }
    (trace.into_iter().step_by(stride).collect(), starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_begins_at_zero_in_every_episode() {
        let (whole, starts) = trace(&[vec![1.0, 1.0], vec![-0.5]], 1);
        assert_eq!((whole, starts), (vec![0.0, 1.0, 2.0, 0.0, -0.5], vec![0, 3]));
        assert_eq!(trace(&[vec![1.0; 4]], 2).0, [0.0, 2.0, 4.0]);
    }
}
