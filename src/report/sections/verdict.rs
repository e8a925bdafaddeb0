//! The verdict: what came out, in a headline.

use serde::Serialize;

use crate::diagnosis::Diagnosis;
use crate::format;
use crate::record::RunStatus;
use crate::regression;
use crate::report::model::{Report, Series};
use crate::results::suite::{self, Aggregate, Estimate, SuiteAgent, SuiteScores};
use crate::results::{ended_early, weak_evidence};
use crate::stats::{self, Bootstrap};

/// The most agents that get a figure of their own below the headline.
const MOST_FIGURES: usize = 8;

/// With more agents than this that have a goal, none gets a sentence of its own about it.
const MOST_GOALS: usize = 6;

/// The headline and what supports it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// One sentence.
    pub headline: String,
    /// `good`, `mixed`, `bad` or `open`: how the page marks it.
    pub tone: &'static str,
    /// Further findings.
    pub points: Vec<String>,
    /// An agent's return each.
    pub figures: Vec<KeyFigure>,
    /// What the figures are.
    pub figures_note: String,
}

/// One agent's return.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeyFigure {
    label: String,
    class: String,
    value: String,
    note: String,
}

/// Reads the verdict off the runs.
pub(crate) fn verdict(report: &Report) -> Verdict {
    let scored = || report.series.iter().filter(|series| !series.scores.is_empty());
    let mut points = Vec::new();
    let (headline, mut tone) = if report.several() {
        let (compared, tone) = comparison(report);
        match report.suite_scores() {
            None => (compared, tone),
            Some(scores) => {
                let (headline, second, _) = over_environments(scores);
                points.extend(second.into_iter().chain([compared]));
                points.extend(scores.notes.iter().map(|note| format::sentence(note)));
                (headline, tone)
            }
        }
    } else if let Some(scores) = report.suite_scores() {
        let (headline, second, tone) = over_environments(scores);
        points.extend(second.into_iter().chain(leaders(report)));
        points.extend(scores.notes.iter().map(|note| format::sentence(note)));
        (headline, tone)
    } else {
        let (headline, tone) = match goal(report) {
            // An experiment that is about one agent's goal: the comparison comes second.
            Some((reached, tone)) => {
                let (comparison, beside) = single(report);
                points.push(comparison);
                (reached, if (tone, beside) == ("good", "bad") { "mixed" } else { tone })
            }
            None => single(report),
        };
        points.extend(goals(report));
        points.extend(threshold(report));
        (headline, tone)
    };
    if let Some(decision) = report.decision() {
        points.push(format!("Against the baseline: {}.", regression::summary(decision)));
        tone = match (decision.verdict, tone) {
            (regression::Verdict::Regressed | regression::Verdict::Different, _) => "bad",
            (regression::Verdict::Inconclusive, "good") => "mixed",
            (_, tone) => tone,
        };
    }
    for (index, run) in report.wholes.iter().enumerate() {
        let of =
            if report.several() { format!("Run {}: ", report.names[index]) } else { String::new() };
        let failed = run.trials.iter().filter(|trial| trial.error().is_some()).count();
        let open = run.trials.iter().filter(|trial| trial.result.is_none()).count();
        if failed > 0 {
            points.push(format!(
                "{of}{} of {} failed.",
                failed,
                format::plural(run.trials.len(), "trial")
            ));
            tone = if tone == "good" { "mixed" } else { tone };
        }
        let found = Diagnosis::of_parts(report.parts_of(index)).findings;
        points.extend(found.iter().map(|finding| format!("{of}{}", finding.sentence())));
        let weak = weak_evidence(&run.summary, run.info.as_ref());
        if !weak.is_empty() {
            points.push(format!("{of}Weak evidence: {}.", weak.join("; ")));
        }
        if ended_early(&run.summary).is_some() && tone == "good" {
            tone = "mixed";
        }
        // A run that goes on says so at the top.
        if open > 0 && report.progress.is_none() {
            let why = match run.info.as_ref().map(|info| info.status) {
                Some(RunStatus::Running) => "the run was killed, or shows no sign of life",
                Some(RunStatus::Interrupted) => "the run was interrupted",
                Some(RunStatus::Stopped) => "they were left out, by --only or an early end",
                Some(RunStatus::Finished) | None => "it is missing or could not be read",
            };
            points.push(format!(
                "{of}{} of {} have no result: {why}.",
                open,
                format::plural(run.trials.len(), "trial")
            ));
            tone = if tone == "good" { "mixed" } else { tone };
        }
    }
    if let Some(scores) = report.suite_scores().filter(|scores| scores.whole().next().is_some()) {
        let figures = suite_figures(report, scores);
        let figures_note =
            "Interquartile mean of normalised scores over all environments, and its 95 % interval."
                .to_owned();
        return Verdict { headline, tone, points, figures, figures_note };
    }
    let decimals = format::decimals(scored().flat_map(|series| series.scores.iter().copied()));
    let mut shown: Vec<&Series> = scored().collect();
    let several_environments = report.environments().len() > 1;
    if several_environments {
        shown.truncate(MOST_FIGURES);
    } else if shown.len() > MOST_FIGURES {
        // The best ones, in the order of the experiment.
        let mut means: Vec<f64> = shown.iter().filter_map(|series| series.mean()).collect();
        means.sort_unstable_by(|a, b| b.total_cmp(a));
        shown.retain(|series| series.mean() >= means.get(MOST_FIGURES - 1).copied());
    }
    let figures = shown.into_iter().map(|series| {
        let interval = Bootstrap::default().interval(&series.scores, stats::mean);
        let mut seeds = format::plural(series.scores.len(), "seed");
        if several_environments {
            seeds.push_str(&format!(" in {}", report.runs[series.run].summary.environment));
        }
        KeyFigure {
            label: series.label.clone(),
            class: series.class.clone(),
            value: series.mean().map_or("–".into(), |mean| format::fixed(mean, decimals)),
            note: match interval {
                Some(interval) => format!(
                    "{} – {}, {seeds}",
                    format::fixed(interval.low, decimals),
                    format::fixed(interval.high, decimals)
                ),
                None => seeds,
            },
        }
    });
    let figures_note =
        format!("Mean return of {}, and its 95 % interval over seeds.", report.scored());
    Verdict { headline, tone, points, figures: figures.collect(), figures_note }
}

/// The agent with the best scores over all environments of a suite, how it stands to the next one, and the tone of that.
fn over_environments(scores: &SuiteScores) -> (String, Option<String>, &'static str) {
    let iqm = Aggregate::InterquartileMean;
    let mut ranked: Vec<_> = (scores.whole())
        .filter_map(|(agent, scores)| Some((agent, scores, agent.figure(iqm)?)))
        .collect();
    ranked.sort_by(|a, b| b.2.value.total_cmp(&a.2.value));
    let [(best, own, figure), rest @ ..] = &ranked[..] else {
        return ("There are no figures over all environments.".into(), None, "open");
    };
    let environments = format::plural(scores.environments.len(), "environment");
    let interval = figure.interval.map_or(String::new(), |range| {
        let ends = [range.low, range.high].map(|end| format::fixed(end, 2));
        format!(" [{}]", ends.join(", "))
    });
    let first = format!(
        "{} has the highest interquartile mean over {environments}: {}{interval} of the reference",
        best.label,
        format::fixed(figure.value, 2)
    );
    let Some((next, others, _)) = rest.first() else {
        let alone = format!(
            "Only {} has scores of all {environments}: an interquartile mean of {}{interval}.",
            best.label,
            format::fixed(figure.value, 2)
        );
        return (alone, None, "open");
    };
    let (probability, range) = suite::improvement(own, others).unwrap_or((0.5, None));
    let clear = range.is_some_and(|range| range.low > 0.5);
    let tone = match (clear, best.learns) {
        (true, true) => "good",
        (true, false) => "bad",
        (false, _) => "mixed",
    };
    let sure = if clear { "" } else { ", which these seeds cannot tell from chance" };
    let percent = format!("{:.0} %", 100.0 * probability);
    let than = format!(
        "{} does better than {}, the next one, with a probability of {percent}{sure}.",
        best.label, next.label
    );
    (format!("{first}."), Some(than), tone)
}

/// The interquartile mean of each agent's scores over all environments.
fn suite_figures(report: &Report, scores: &SuiteScores) -> Vec<KeyFigure> {
    let environments = format::plural(scores.environments.len(), "environment");
    let figure = |agent: &SuiteAgent| {
        let Estimate { value, interval } = agent.figure(Aggregate::InterquartileMean)?;
        let interval = interval.map_or(String::new(), |range| {
            format!("{} – {}, ", format::fixed(range.low, 2), format::fixed(range.high, 2))
        });
        Some(KeyFigure {
            label: agent.label.clone(),
            class: report.series_of(agent).map(|series| series.class).unwrap_or_default(),
            value: format::fixed(value, 2),
            note: format!("{interval}{environments}"),
        })
    };
    scores.agents.iter().filter_map(figure).take(MOST_FIGURES).collect()
}

/// The best agent of each environment of a suite, where several learn.
fn leaders(report: &Report) -> Vec<String> {
    let of = |(name, part): (String, Report)| {
        let mut scored: Vec<_> =
            part.series.iter().filter_map(|one| Some((one, one.mean()?))).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (best, mean) = scored.first()?;
        Some(format!(
            "{name}: {} leads with a mean return of {}.",
            best.name,
            format::number(*mean)
        ))
    };
    let named = report.environments().into_iter().map(|(_, part)| {
        let name = part.series.first().and_then(|one| report.environment_name(one.run));
        (name.unwrap_or_default().to_owned(), part)
    });
    named.filter_map(of).collect()
}

/// Whether the seeds of the only agent that learns reached what its schedule stops at.
fn goal(report: &Report) -> Option<(String, &'static str)> {
    let mut learners = report.learners();
    let (Some((_, series)), None) = (learners.next(), learners.next()) else { return None };
    let (reached, all) = arrived(report, series)?;
    let tone = match reached {
        _ if report.progress.is_some() => "open",
        0 => "bad",
        n if n == all => "good",
        _ => "mixed",
    };
    Some((goal_of(report, series)?, tone))
}

/// The same of several agents: each in a sentence, or of many how many reached theirs.
fn goals(report: &Report) -> Vec<String> {
    let aiming: Vec<_> = (report.learners())
        .filter_map(|(_, series)| Some((series, arrived(report, series)?)))
        .collect();
    if report.learners().count() < 2 || aiming.is_empty() {
        return Vec::new();
    }
    if aiming.len() <= MOST_GOALS {
        return aiming.iter().filter_map(|(series, _)| goal_of(report, series)).collect();
    }
    let all = aiming.iter().filter(|(_, (reached, all))| reached == all).count();
    let none = aiming.iter().filter(|(_, (reached, _))| *reached == 0).count();
    let some = aiming.len() - all - none;
    let so_far = if report.progress.is_some() { " so far" } else { "" };
    if none == aiming.len() {
        return vec![format!("None of {none} agents reached its goal{so_far}.")];
    }
    let counts = [
        (all, "reached it with every seed"),
        (some, "reached it with some seeds"),
        (none, "did not reach it"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, how)| format!("{count} {how}")).collect();
    vec![format!("Of {} agents with a goal, {}{so_far}.", aiming.len(), format::list(&counts))]
}

/// How many of an agent's seeds reached its goal; nothing where it has none, or nothing was trained yet.
fn arrived(report: &Report, series: &Series) -> Option<(usize, usize)> {
    let summary = report.summary(series);
    summary.goal?;
    let trained = summary.seeds.iter().any(|seed| !seed.curve.is_empty());
    let reached = summary.seeds.iter().filter(|seed| seed.goal_reached.is_some()).count();
    trained.then_some((reached, summary.seeds.len()))
}

/// "10 of 20 seeds of ppo reached a mean return of 400, after 67 to 497 episodes."
fn goal_of(report: &Report, series: &Series) -> Option<String> {
    let summary = report.summary(series);
    let (reached, all) = arrived(report, series)?;
    let goal = summary.goal?;
    let mean = if goal.window.is_some() { "mean" } else { "running" };
    let what = format!("a {mean} return of {} in training", format::number(goal.r#return));
    let name = &series.label;
    let so_far = if report.progress.is_some() { " so far" } else { "" };
    let times = || summary.seeds.iter().filter_map(|seed| Some(seed.goal_reached?.episodes));
    let count = |n: u64| format::count(n);
    let after = match (times().min(), times().max()) {
        (Some(one), Some(same)) if one == same => {
            format!("after {}", format::plural(one as usize, "episode"))
        }
        (Some(first), Some(last)) => format!("after {} to {} episodes", count(first), count(last)),
        _ => {
            let played = summary.seeds.iter().filter_map(|seed| seed.curve.episodes.last());
            let most = played.max().copied().unwrap_or_default();
            format!("within {}", format::plural(most as usize, "episode"))
        }
    };
    if let (0, Some(short)) = (reached, goal.window.and_then(|_| summary.short_of_window())) {
        let name = if all == 1 { name.clone() } else { format!("No seed of {name}") };
        let not = if all == 1 { "cannot have" } else { "can have" };
        return Some(format!("{name} {not} reached {what}{so_far}: {short}."));
    }
    Some(match reached {
        0 if all == 1 => format!("{name} did not reach {what} {after}{so_far}."),
        0 => format!("No seed of {name} reached {what} {after}{so_far}."),
        _ if all == 1 => format!("{name} reached {what} {after}."),
        n if n == all => format!("All {all} seeds of {name} reached {what}, {after}."),
        n => format!("{n} of {all} seeds of {name} reached {what}, {after}{so_far}."),
    })
}

fn single(report: &Report) -> (String, &'static str) {
    let scored = |learns: bool| {
        let agents =
            report.series.iter().filter(move |s| s.learns == learns && !s.scores.is_empty());
        agents.filter_map(|series| Some((series, series.mean()?))).collect::<Vec<_>>()
    };
    let (learned, baselines) = (scored(true), scored(false));
    let best = |agents: &[(&Series, f64)]| {
        agents.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(s, m)| ((*s).clone(), *m))
    };
    match (best(&learned), best(&baselines)) {
        (None, None) => ("Nothing has been evaluated yet.".into(), "open"),
        (None, Some((top, mean))) => {
            let others = baselines.len() > 1;
            let headline = match report.learners().next() {
                Some(_) => "No agent that learns has been evaluated yet.".into(),
                None if others => format!(
                    "{} does best with a mean return of {}; none of the agents learns.",
                    top.label,
                    format::number(mean)
                ),
                None => format!(
                    "{} returns {} on average; it does not learn.",
                    top.label,
                    format::number(mean)
                ),
            };
            (headline, "open")
        }
        (Some((top, mean)), None) => match stats::mean(&top.before) {
            Some(before) => {
                let up =
                    stats::difference_of_means(&top.before, &top.scores).is_some_and(|d| d > 0.0);
                let (word, tone) = if up { ("up", "good") } else { ("not up", "bad") };
                (
                    format!(
                        "{} returns {} after training, {word} from {} before.",
                        top.label,
                        format::number(mean),
                        format::number(before)
                    ),
                    tone,
                )
            }
            None => {
                (format!("{} returns {} after training.", top.label, format::number(mean)), "open")
            }
        },
        (Some((top, mean)), Some((rival, other))) => {
            let winners: Vec<_> =
                learned.iter().filter(|(series, _)| beats(series, &rival)).collect();
            let figures = format!(
                "{} against {} for {}",
                format::number(mean),
                format::number(other),
                rival.label
            );
            match (winners.len(), learned.len()) {
                (0, 1) if above(mean, other) => (
                    format!("{} is ahead of the baselines, but not clearly: {figures}.", top.label),
                    "mixed",
                ),
                (0, 1) => (format!("{} does not beat the baselines: {figures}.", top.label), "bad"),
                (0, _) => (
                    format!(
                        "No learned agent clearly beats the baselines: the best, {}, has {figures}.",
                        top.label
                    ),
                    "bad",
                ),
                (1, 1) => (format!("{} beats every baseline: {figures}.", top.label), "good"),
                (won, all) if won == all => (
                    format!(
                        "All {all} learned agents beat every baseline; {} leads with {figures}.",
                        top.label
                    ),
                    "good",
                ),
                (won, all) => (
                    format!(
                        "{won} of {all} learned agents beat every baseline; {} leads with {figures}.",
                        top.label
                    ),
                    "mixed",
                ),
            }
        }
    }
}

/// Whether the whole interval of the mean is above the other's; with too few seeds for one, the mean.
fn beats(series: &Series, rival: &Series) -> bool {
    let bootstrap = Bootstrap::default();
    let ends = |series: &Series| {
        let mean = series.mean().unwrap_or(f64::NAN);
        bootstrap.interval(&series.scores, stats::mean).map_or((mean, mean), |i| (i.low, i.high))
    };
    above(ends(series).0, ends(rival).1)
}

/// Whether a mean is above another by more than rounding.
fn above(mean: f64, other: f64) -> bool {
    stats::difference_of_means(&[other], &[mean]).is_some_and(|difference| difference > 0.0)
}

/// Whether the evaluations after training reach the reward threshold; of training the section on it tells.
fn threshold(report: &Report) -> Option<String> {
    let threshold = report.threshold()?;
    let by = match report.is_evaluated() {
        true => "when evaluated".to_owned(),
        false => format!("by {}", report.scored()),
    };
    let aim = format!("the reward threshold of {} {by}", format::number(threshold));
    let learned: Vec<&Series> =
        report.learners().map(|(_, series)| series).filter(|s| !s.scores.is_empty()).collect();
    if let [series] = learned[..] {
        let (name, seeds) = (&series.label, series.scores.len());
        return Some(match series.scores.iter().filter(|score| **score >= threshold).count() {
            0 => format!("{name} does not reach {aim}."),
            _ if seeds == 1 => format!("{name} reaches {aim}."),
            n if n == seeds => {
                format!("All {n} seeds of {name} reach {aim}.")
            }
            1 => format!("1 of {seeds} seeds of {name} reaches {aim}."),
            n => format!("{n} of {seeds} seeds of {name} reach {aim}."),
        });
    }
    let reached: Vec<String> = (learned.iter())
        .filter(|series| series.mean().is_some_and(|mean| mean >= threshold))
        .map(|series| series.label.clone())
        .collect();
    Some(match (reached.len(), learned.len()) {
        (_, 0) => return None,
        (0, _) => format!("No agent reaches {aim}, on average."),
        (n, all) if n == all => {
            format!("All learned agents reach {aim}, on average.")
        }
        (1, _) => {
            format!("Only {} reaches {aim}, on average.", reached[0])
        }
        (n, all) => format!("{n} of {all} learned agents reach {aim}, on average."),
    })
}

/// The first run against the last one of each environment, for the agents that both have.
fn comparison(report: &Report) -> (String, &'static str) {
    let environments = report.environments();
    if let [(_, only)] = &environments[..] {
        return first_and_last(only);
    }
    let several = |part: &&(&str, Report)| part.1.ends().0 < part.1.ends().1;
    let found: Vec<(String, &'static str)> = (environments.iter().filter(several))
        .map(|(name, part)| {
            let (sentence, tone) = first_and_last(part);
            (format!("{name}: {sentence}"), tone)
        })
        .collect();
    let sentences: Vec<&str> = found.iter().map(|(sentence, _)| sentence.as_str()).collect();
    let has = |tone| found.iter().any(|(_, found)| *found == tone);
    let tone = match (has("good"), has("bad"), has("mixed")) {
        (_, _, true) | (true, true, _) => "mixed",
        (true, false, false) => "good",
        (false, true, false) => "bad",
        (false, false, false) => "open",
    };
    match &sentences[..] {
        [] => ("Every run is of another environment; nothing is compared.".into(), tone),
        _ => (sentences.join(" "), tone),
    }
}

/// The first run against the last one of one environment.
fn first_and_last(report: &Report) -> (String, &'static str) {
    let (first, last) = report.ends();
    let mut better = Vec::new();
    let mut worse = Vec::new();
    let mut level = 0;
    for (_, old) in report.learners().filter(|(_, series)| series.run == first) {
        let Some(new) = report.series.iter().find(|s| s.run == last && s.name == old.name) else {
            continue;
        };
        if old.scores.is_empty() || new.scores.is_empty() {
            continue;
        }
        if beats(new, old) {
            better.push(new.name.clone());
        } else if beats(old, new) {
            worse.push(new.name.clone());
        } else {
            level += 1;
        }
    }
    let [first, last] = [first, last].map(|run| report.run_name(run).unwrap_or_default());
    let against = format!("in run {last} than in run {first}");
    let is = |names: &[String]| if names.len() == 1 { "is" } else { "are" };
    match (better.is_empty(), worse.is_empty()) {
        (true, true) if level == 0 => {
            ("The runs share no evaluated agent that learns.".into(), "open")
        }
        (true, true) => {
            (format!("No clear difference between run {first} and run {last}."), "open")
        }
        (false, true) => {
            (format!("{} {} better {against}.", format::list(&better), is(&better)), "good")
        }
        (true, false) => {
            (format!("{} {} worse {against}.", format::list(&worse), is(&worse)), "bad")
        }
        (false, false) => (
            format!(
                "{} {} better {against}, {} worse.",
                format::list(&better),
                is(&better),
                format::list(&worse)
            ),
            "mixed",
        ),
    }
}
