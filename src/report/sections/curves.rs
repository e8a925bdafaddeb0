//! Learning curves: what training and evaluations during it returned.

use super::Section;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::FULL;
use crate::report::model::{Report, Series};
use crate::report::plot::{Horizontal, Plot, PlotLine, Thin};
use crate::results::aggregate::{self, Against};
use crate::results::{AgentSummary, Curve, SeedSummary};
use crate::{format, stats};

/// Rows of the table below a chart.
const TABLE_ROWS: usize = 11;

/// Thin lines of one chart.
const MOST_THIN: usize = 600;
/// Thin lines of each agent, of however many.
const FEWEST_THIN: usize = 10;

/// The section.
pub(super) struct Curves;

impl Section for Curves {
    fn id(&self) -> &'static str {
        "learning"
    }

    fn title(&self) -> &'static str {
        "Learning curves"
    }

    fn lead(&self, _: &Report) -> String {
        "Thin lines are seeds; thick lines are their interquartile mean with its 95 % bootstrap interval.".into()
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let is_mean =
            |series: &Series| report.imported(series).is_some_and(|imported| imported.means);
        let (means, own): (Vec<&Series>, Vec<&Series>) =
            report.learners().map(|(_, series)| series).partition(|series| is_mean(series));
        let mut windows: Vec<usize> =
            own.iter().map(|series| report.summary(series).curve_window).collect();
        windows.sort_unstable();
        windows.dedup();
        let over = format::list(&windows.iter().map(ToString::to_string).collect::<Vec<_>>());
        let short = report.learners().filter_map(|(_, series)| {
            let short = report.summary(series).short_of_window()?;
            Some(format!(" {}: {short}.", series.label))
        });
        let short: String = short.collect();
        let of_episodes = match own.is_empty() {
            true => String::new(),
            false => format!(
                "Each point is the mean over the last {over} training episodes, exploration included. Where there are fewer \
                 yet it is the mean over those, by which no goal and no threshold is reached.{short} "
            ),
        };
        let names = format::list(&means.iter().map(|s| s.label.clone()).collect::<Vec<_>>());
        let of_means = match means.is_empty() {
            true => String::new(),
            false => {
                format!("Each point of {names} is a mean over episodes, as its program wrote it. ")
            }
        };
        let training = Plot {
            id: "training-return".into(),
            title: "Training return".into(),
            caption: format!(
                "{of_episodes}{of_means}A seed that stopped early goes on at its last value."
            ),
            each: "single episodes",
            ..Plot::default()
        };
        let training = figure(
            report,
            training,
            |agent| agent.seeds.iter().map(|seed| seed.curve.clone()).collect(),
            |series, seed| {
                let trial = report.trials(series).find(|trial| trial.plan.id == seed.trial);
                trial.map(|trial| trial.returns.clone()).unwrap_or_default()
            },
        )?;
        let evaluation = Plot {
            id: "evaluation-return".into(),
            title: "Evaluation return during training".into(),
            caption: match report.runs.iter().any(|run| run.plan.is_imported()) {
                true => "Each point is the mean return of one evaluation.".into(),
                false => "Each point is the mean return of one evaluation; all of them play the same episodes, but \
                          those before and after training others, which the table of the evaluation is about."
                    .into(),
            },
            ..Plot::default()
        };
        let evaluation = figure(
            report,
            evaluation,
            |agent| agent.evaluation_curves().unwrap_or_default(),
            |_, _| Curve::default(),
        )?;
        Ok([training, evaluation].into_iter().flatten().map(Block::Figure).collect())
    }
}

/// A learning curve of every agent that learns, of what `curves` makes of its seeds.
fn figure(
    report: &Report,
    plot: Plot,
    curves: impl Fn(&AgentSummary) -> Vec<Curve>,
    each: impl Fn(&Series, &SeedSummary) -> Curve,
) -> anyhow::Result<Option<Figure>> {
    let lines = report.learners().map(|(number, series)| {
        let agent = report.summary(series);
        let thin: Vec<Thin> = (agent.seeds.iter().zip(curves(agent)))
            .filter(|(_, curve)| !curve.is_empty())
            .map(|(seed, curve)| Thin { seed: seed.seed, curve, each: each(series, seed) })
            .collect();
        let middle = Against::ALL.map(|against| {
            let points: Vec<_> = thin.iter().map(|thin| against.points(&thin.curve)).collect();
            aggregate::over_seeds(&points)
        });
        PlotLine { thin, ..PlotLine::new(number, series, middle.into()) }
    });
    let mut lines: Vec<PlotLine> = lines.filter(|line| !line.thin.is_empty()).collect();
    let (all, drawn) = draw_some(&mut lines);
    let mut plot = plot;
    if drawn < all {
        let [drawn, all] = [drawn, all].map(|count| format::count(count as u64));
        plot.caption.push_str(&format!(" Of {all} thin lines {drawn} are drawn, evenly chosen."));
    }
    let table = data_table(&plot.title, Against::ALL[0], &lines);
    let plot = Plot {
        y: "return".into(),
        x: Against::ALL.map(Horizontal::from).into(),
        lines,
        rules: report.rules(),
        ..plot
    };
    let figure = plot.figure(&FULL)?;
    Ok(figure.map(|figure| Figure { table: Some(table), ..figure }))
}

/// Leaves so many thin lines as a page can show, evenly chosen; says how many there were and are.
fn draw_some(lines: &mut [PlotLine]) -> (usize, usize) {
    let count = |lines: &[PlotLine]| lines.iter().map(|line| line.thin.len()).sum();
    let all = count(lines);
    let most = (MOST_THIN / lines.len().max(1)).max(FEWEST_THIN);
    for line in lines.iter_mut().filter(|line| line.thin.len() > most) {
        let chosen = stats::evenly(line.thin.len(), most);
        line.thin = chosen.map(|index| line.thin[index].clone()).collect();
    }
    (all, count(lines))
}

fn data_table(title: &str, against: Against, lines: &[PlotLine]) -> Table {
    let ends = lines.iter().filter_map(|line| line.middle[0].last());
    let end = ends.map(|point| point.x).fold(0.0, f64::max);
    let mut columns = vec![(against.label().to_owned(), true)];
    columns.extend(lines.iter().map(|line| (line.label.clone(), true)));
    let rows = (0..TABLE_ROWS).map(|row| {
        let x = end * row as f64 / (TABLE_ROWS - 1) as f64;
        let mut cells = vec![Cell::new(format::number(x))];
        for line in lines {
            let near = line.middle[0].iter().rev().find(|point| point.x <= x * (1.0 + 1e-9));
            cells.push(near.map_or(Cell::new("–"), |point| {
                let cell = Cell::new(format::number(point.middle));
                let range =
                    format!("{} to {}", format::number(point.low), format::number(point.high));
                if line.thin.len() > 1 { cell.with_note(range) } else { cell }
            }));
        }
        Row { cells, class: "" }
    });
    Table {
        caption: format!("{title}: interquartile mean over seeds, and its 95 % interval"),
        columns,
        rows: rows.collect(),
    }
}
