//! The runs of an output folder, a row each, read again only where something happened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::format;
use crate::record::RunStatus;
use crate::report::template;
use crate::results::aggregate::{self, Against};
use crate::results::{self, AgentSummary, RunData, RunProgress, RunReader, Summary};
use crate::stats::{self, Bootstrap};
use crate::store::{RunDir, Stamp};

/// Colours for agents that learn; `style.css` defines as many.
const COLORS: usize = 8;
/// The size of a row's chart, in pixels.
const CHART: (f64, f64) = (240.0, 64.0);

/// For how long many requests share what one of them had read.
const FRESH: Duration = Duration::from_millis(300);

/// A run as a row of the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// `EXPERIMENT/RUN`, a path below the output folder; `RUN` below that of one experiment.
    pub(super) id: String,
    /// The row itself.
    pub(super) html: String,
    started: jiff::Timestamp,
}

/// Reads the runs again and again.
pub(super) struct Listing {
    root: PathBuf,
    known: HashMap<String, Known>,
    /// The rows, and when they were read.
    latest: Option<(Instant, Vec<Arc<Row>>)>,
}

/// A run that was read.
struct Known {
    /// How its files looked, and whether it was alive.
    state: ([Option<Stamp>; 3], bool),
    /// Whether it was seen going on.
    goes_on: bool,
    /// Of a run that was seen going on.
    reader: Option<RunReader>,
    row: Arc<Row>,
}

impl Listing {
    /// The runs below `root`, none of which is read yet.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, known: HashMap::new(), latest: None }
    }

    /// The runs as they stand now, newest first. A run in which nothing happened keeps its row.
    pub(super) fn read(&mut self) -> Vec<Arc<Row>> {
        if let Some((at, rows)) = &self.latest
            && at.elapsed() < FRESH
        {
            return rows.clone();
        }
        let mut before = std::mem::take(&mut self.known);
        for (id, path) in runs(&self.root) {
            let old = before.remove(&id);
            self.known.insert(id.clone(), Known::read(id, &path, old));
        }
        let mut rows: Vec<_> = self.known.values().map(|known| known.row.clone()).collect();
        rows.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
        self.latest = Some((Instant::now(), rows.clone()));
        rows
    }
}

/// The runs below an output folder, or below that of one experiment, by their paths.
fn runs(root: &Path) -> Vec<(String, PathBuf)> {
    let folders = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        // No links: `latest` is a run that is there already.
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
    };
    let is_run = |path: &Path| path.join("plan.json").is_file();
    let mut found = Vec::new();
    for (experiment, path) in folders(root) {
        if is_run(&path) {
            found.push((experiment, path));
            continue;
        }
        let runs = folders(&path).filter(|(_, path)| is_run(path));
        found.extend(runs.map(|(run, path)| (format!("{experiment}/{run}"), path)));
    }
    found
}

impl Known {
    /// Reads the run at `path` as far as anything happened in it since `old`.
    fn read(id: String, path: &Path, old: Option<Self>) -> Self {
        let files = ["run.json", "summary.json", "plan.json"];
        let stamps = files.map(|file| Stamp::of(&path.join(file)));
        let alive = RunDir::is_alive_at(path);
        let state = (stamps, alive);
        let (reader, shown) = match old {
            Some(old) if old.state == state && !old.goes_on => return old,
            Some(old) => (old.reader, Some(old.row)),
            None => (None, None),
        };
        let mut reader = reader;
        let row =
            view(&id, path, &mut reader).unwrap_or_else(|error| View::unreadable(&id, &error));
        let goes_on = row.state == "running";
        let row = Arc::new(row.row());
        // An unchanged row is the same one: nobody is told of it.
        let row = shown.filter(|shown| **shown == *row).unwrap_or(row);
        Self { state, goes_on, reader, row }
    }
}

/// What a row shows.
#[derive(Debug, Default, Serialize)]
struct View {
    id: String,
    experiment: String,
    run: String,
    /// What the user calls it; empty where it has no label.
    label: String,
    /// Where its report is; empty where there is none.
    report: String,
    environment: String,
    /// `running`, `finished`, `interrupted`, …
    state: &'static str,
    detail: String,
    /// How much of the run is done, while it goes on.
    share: Option<f64>,
    when: String,
    agents: Vec<AgentView>,
    chart: Option<ChartView>,
    #[serde(skip)]
    started: jiff::Timestamp,
}

/// An agent's result.
#[derive(Debug, Serialize)]
struct AgentView {
    name: String,
    class: String,
    mean: String,
    note: String,
}

/// The learning curves.
#[derive(Debug, Serialize)]
struct ChartView {
    label: String,
    width: f64,
    height: f64,
    /// A path for each agent that learns.
    lines: Vec<(String, String)>,
}

/// Reads a run; by its summary, where it is finished.
fn view(id: &str, path: &Path, reader: &mut Option<RunReader>) -> anyhow::Result<View> {
    let dir = match reader {
        Some(reader) => reader.dir().clone(),
        None => RunDir::open(path)?,
    };
    let info = dir.info().ok();
    let finished = info.is_some_and(|info| info.status == RunStatus::Finished);
    if finished && dir.summary().exists() {
        *reader = None;
        return Ok(View::new(id, &dir, &results::summary(&dir)?, None));
    }
    let data: RunData = reader.get_or_insert_with(|| RunReader::new(dir.clone())).read()?;
    let progress = RunProgress::of(&data);
    if progress.is_none() {
        *reader = None;
    }
    Ok(View::new(id, &dir, &data.summary, progress.as_ref()))
}

impl View {
    fn new(id: &str, dir: &RunDir, summary: &Summary, progress: Option<&RunProgress>) -> Self {
        let state = match (summary.status, progress) {
            (RunStatus::Running, Some(_)) => "running",
            (RunStatus::Running, None) => "killed",
            (RunStatus::Interrupted, _) => "interrupted",
            (RunStatus::Stopped, _) => "ended early",
            (RunStatus::Finished, _) => "finished",
        };
        let took = summary.started.zip(summary.finished).and_then(|(started, finished)| {
            (finished - started).total(jiff::Unit::Second).ok().map(format::seconds)
        });
        let seeds = summary.agents.iter().flat_map(|agent| &agent.seeds);
        let failed = seeds.filter(|s| s.outcome.as_ref().is_some_and(|o| o.failed())).count();
        let mut detail = match progress {
            Some(progress) => progress.sentence(),
            None => took.map_or(String::new(), |took| format!("took {took}")),
        };
        if failed > 0 {
            detail.push_str(&format!(", {} failed", format::plural(failed, "trial")));
        }
        let classes = classes(&summary.agents);
        let started = summary.started.unwrap_or_default();
        Self {
            id: id.to_owned(),
            experiment: summary.experiment.clone(),
            // A copy has the name of its folder.
            run: dir.name(),
            label: summary.label.clone().unwrap_or_default(),
            report: if dir.report().is_file() {
                format!("/{}/", format::url_path(id))
            } else {
                String::new()
            },
            environment: summary.environment.clone(),
            state,
            detail,
            share: progress.map(RunProgress::share),
            when: started.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            agents: summary
                .agents
                .iter()
                .zip(&classes)
                .map(|(a, c)| AgentView::new(a, c))
                .collect(),
            // Curves of several environments have no axis in common.
            chart: match summary.environments.is_empty() {
                true => chart(&summary.agents, &classes),
                false => None,
            },
            started,
        }
    }

    fn unreadable(id: &str, error: &anyhow::Error) -> Self {
        let (experiment, run) = id.split_once('/').unwrap_or((id, ""));
        Self {
            id: id.to_owned(),
            experiment: experiment.to_owned(),
            run: run.to_owned(),
            state: "unreadable",
            detail: format!("{error:#}"),
            ..Self::default()
        }
    }

    fn row(self) -> Row {
        let html = template::render("run.html", &self).unwrap_or_else(|error| error.to_string());
        Row { html, id: self.id, started: self.started }
    }
}

impl AgentView {
    fn new(agent: &AgentSummary, class: &str) -> Self {
        let scores: Vec<f64> =
            agent.seeds.iter().filter_map(|seed| stats::mean(&seed.final_returns)).collect();
        let recent: Vec<f64> =
            agent.seeds.iter().filter_map(|seed| seed.curve.returns.last().copied()).collect();
        let interval = Bootstrap::default().interval(&scores, stats::mean);
        let (mean, note) = match (stats::mean(&scores), stats::mean(&recent), interval) {
            (Some(mean), _, Some(interval)) => {
                let ends = [interval.low, interval.high].map(format::number);
                (format::number(mean), format!("{} – {}", ends[0], ends[1]))
            }
            (Some(mean), ..) => (format::number(mean), String::new()),
            (None, Some(mean), _) => (format::number(mean), "in training".into()),
            (None, None, _) => ("–".into(), String::new()),
        };
        Self { name: agent.name.clone(), class: class.to_owned(), mean, note }
    }
}

/// A CSS class for each agent: a colour for those that learn.
fn classes(agents: &[AgentSummary]) -> Vec<String> {
    let mut learners = 0;
    let class = |agent: &AgentSummary| {
        if !agent.learns {
            return "random".to_owned();
        }
        learners += 1;
        format!("c{}", (learners - 1) % COLORS)
    };
    agents.iter().map(class).collect()
}

/// The learning curves of the agents that learn, by their evaluations where all have them.
fn chart(agents: &[AgentSummary], classes: &[String]) -> Option<ChartView> {
    let curves: Vec<_> = (agents.iter().zip(classes))
        .filter(|(agent, _)| agent.learns)
        .map(|(agent, class)| {
            let curves = agent.evaluation_curves();
            let curves = curves
                .unwrap_or_else(|| agent.seeds.iter().map(|seed| seed.curve.clone()).collect());
            let points: Vec<_> = curves.iter().map(|c| Against::Steps.points(c)).collect();
            let middle = aggregate::over_seeds(&points);
            (agent, class, middle.iter().map(|p| (p.x, p.middle)).collect::<Vec<_>>())
        })
        .filter(|(_, _, points)| points.len() > 1)
        .collect();
    let all = || curves.iter().flat_map(|(_, _, points)| points);
    let end = all().map(|point| point.0).fold(0.0, f64::max);
    let low = all().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = all().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    if curves.is_empty() || end <= 0.0 {
        return None;
    }
    let (width, height) = CHART;
    let height_of = |y: f64| {
        let share = if high > low { (y - low) / (high - low) } else { 0.5 };
        height - 3.0 - share * (height - 6.0)
    };
    let line = |points: &[(f64, f64)]| {
        let points =
            points.iter().map(|(x, y)| format!("{:.1} {:.1}", x / end * width, height_of(*y)));
        format!("M{}", points.collect::<Vec<_>>().join("L"))
    };
    let ends: Vec<String> = (curves.iter())
        .filter_map(|(agent, _, points)| {
            Some(format!("{} at {}", agent.name, format::number(points.last()?.1)))
        })
        .collect();
    Some(ChartView {
        label: format!(
            "Return against steps, between {} and {}: {} after {} steps",
            format::number(low),
            format::number(high),
            format::list(&ends),
            format::count(end as u64)
        ),
        width,
        height,
        lines: curves.iter().map(|(_, class, points)| ((*class).clone(), line(points))).collect(),
    })
}
