//! Runs made of what other programs leave: Stable-Baselines3, CleanRL, RLlib, Weights & Biases and plain tables.
//!
//! ```text
//! paths ──Layout──▶ Labels ┐
//! files ──sources─▶ Source ┴─group─▶ Found (shown, nothing written yet) ──write──▶ run directory
//! ```
//!
//! What comes out is a run directory as any other, so that report, comparison, gate, history and exports know nothing of
//! where it came from. What the files do not tell is left out of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use walkdir::WalkDir;

use crate::env::names;
use crate::experiment::{FinalScore, window};
use crate::format;
use crate::stats;

mod films;
mod layout;
mod sources;
mod training;
mod write;

pub use write::{Imported, write};

use layout::{Labels, Layout};
use sources::{Kind, together};
use training::{Episode, EvaluationPoint, Source};

/// What is to be imported.
#[derive(Debug, Default)]
pub struct Request {
    /// Folders, files or patterns over paths: `logs/{agent}/{seed}`.
    pub paths: Vec<String>,
    /// What the agent is called, whatever the paths say.
    pub agent: Option<String>,
    /// The environment's id, whatever paths and files say.
    pub environment: Option<String>,
    /// The scalar or column that the returns are taken of.
    pub scalar: Option<String>,
    /// Whether these returns are of evaluations.
    pub as_evaluations: bool,
    /// How many of the last training returns are the final score where there is no evaluation.
    pub last: Option<usize>,
}

/// What was found, before anything is written.
#[derive(Debug)]
pub struct Found {
    /// What the run is called by default: the folder's name.
    pub name: String,
    /// The trainings, by environment, agent and seed.
    pub trainings: Vec<Training>,
    /// What a person should know: files that are left out, and why.
    pub notes: Vec<String>,
}

/// A training with all that its files tell of it.
#[derive(Debug)]
pub struct Training {
    /// The environment's id.
    pub environment: String,
    /// The agent's name.
    pub agent: String,
    /// The seed, or the number that its program gave it.
    pub seed: u64,
    /// The programs that wrote the files.
    pub programs: BTreeSet<&'static str>,
    /// What the final score is of.
    pub score: FinalScore,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    episodes: Vec<Episode>,
    means: bool,
    evaluations: Vec<EvaluationPoint>,
    films: Vec<PathBuf>,
}

impl Training {
    /// How many training returns there are.
    pub fn returns(&self) -> usize {
        self.episodes.len()
    }

    /// Whether each of them is a mean over several episodes.
    pub fn means(&self) -> bool {
        self.means
    }

    /// How many evaluations there are.
    pub fn evaluations(&self) -> usize {
        self.evaluations.len()
    }

    /// How many films there are.
    pub fn films(&self) -> usize {
        self.films.len()
    }

    /// Environment steps, as far as the files reach.
    pub fn steps(&self) -> u64 {
        let played = self.episodes.last().map_or(0, |episode| episode.steps);
        played.max(self.evaluations.last().map_or(0, |evaluation| evaluation.steps))
    }

    /// The returns that the final score is the mean of.
    pub fn final_returns(&self) -> Vec<f64> {
        match (self.score, self.evaluations.last()) {
            (FinalScore::Evaluation, Some(last)) => last.returns.clone(),
            (FinalScore::TrainingReturns(last), _) => {
                let from = self.episodes.len().saturating_sub(last);
                self.episodes[from..].iter().map(|episode| episode.r#return).collect()
            }
            (FinalScore::Evaluation, None) => Vec::new(),
        }
    }

    /// The final score.
    pub fn final_score(&self) -> Option<f64> {
        stats::mean(&self.final_returns())
    }
}

/// Files that are not read, by why.
#[derive(Default)]
struct LeftOut(BTreeMap<&'static str, Vec<PathBuf>>);

impl LeftOut {
    fn add(&mut self, why: &'static str, paths: impl IntoIterator<Item = PathBuf>) {
        self.0.entry(why).or_default().extend(paths);
    }

    /// A note for each reason.
    fn notes(&self) -> impl Iterator<Item = String> {
        const MOST: usize = 3;
        self.0.iter().map(|(why, paths)| {
            let mut shown: Vec<String> =
                paths.iter().take(MOST).map(|path| path.display().to_string()).collect();
            if let Some(more @ 1..) = paths.len().checked_sub(MOST) {
                shown.push(format!("{} more", format::count(more as u64)));
            }
            format!("left out, {why}: {}", format::list(&shown))
        })
    }
}

/// A file of one training, or what it tells of one of several.
struct Piece {
    kind: Kind,
    path: PathBuf,
    /// What its path may mean, where the file does not tell.
    of_path: Labels,
    source: Source,
}

/// Looks for trainings and reads them.
///
/// # Errors
/// Fails, naming the file, if one is not what its name says; if nothing is found; or if it cannot be told which training
/// a file belongs to.
pub fn find(request: &Request) -> anyhow::Result<Found> {
    let mut pieces = Vec::new();
    let mut films = Vec::new();
    let mut notes = Vec::new();
    let mut left_out = LeftOut::default();
    let mut name = None;
    for written in &request.paths {
        let (root, layout) = Layout::parse(written)?;
        name.get_or_insert_with(|| name_of(root));
        look(root, &layout, request, &mut pieces, &mut films, &mut left_out)?;
    }
    let name = name.unwrap_or_else(|| "imported".to_owned());
    let looked = || request.paths.join(", ");
    anyhow::ensure!(
        !pieces.is_empty(),
        "{}: no returns were found; expected monitor.csv, evaluations.npz, TensorBoard's event files, result.json, or CSV, \
         JSON lines or Parquet with the columns step and return (`--scalar` names another){}",
        looked(),
        left_out.notes().map(|note| format!("\n  {note}")).collect::<String>()
    );
    label(&mut pieces, &mut films, request, &name)?;
    let mut groups: BTreeMap<Labels, Vec<Piece>> = BTreeMap::new();
    for piece in pieces {
        groups.entry(piece.source.labels.clone()).or_default().push(piece);
    }
    refuse_misleading(&groups)?;
    number(&mut groups, &mut films, &mut notes)?;
    let mut trainings = Vec::new();
    for (labels, pieces) in groups {
        trainings.push(training(labels, pieces, &mut notes, &mut left_out)?);
    }
    drop_copies(&mut trainings, &mut left_out);
    choose_scores(&mut trainings, request.last);
    attach(films, &mut trainings, &mut left_out);
    notes.extend(left_out.notes());
    Ok(Found { name, trainings, notes })
}

/// Reads the files below `root`.
fn look(
    root: &Path,
    layout: &Layout,
    request: &Request,
    pieces: &mut Vec<Piece>,
    films: &mut Vec<(PathBuf, Labels)>,
    left_out: &mut LeftOut,
) -> anyhow::Result<()> {
    anyhow::ensure!(root.exists(), "{}: there is no such file or folder", root.display());
    let before = pieces.len();
    let named = match layout {
        Layout::Known => name_of(root),
        Layout::Pattern(_) => String::new(),
    };
    for entry in WalkDir::new(root).follow_links(true).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path();
        let Some(kind) = Kind::of(path).filter(|_| entry.file_type().is_file()) else { continue };
        let below = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        // Of a folder that is named itself, its name tells too.
        let told = match layout {
            Layout::Known if below.is_empty() => name_of(path),
            Layout::Known => format!("{named}/{below}"),
            Layout::Pattern(_) => below,
        };
        let Some(of_path) = layout.labels(&told) else {
            left_out.add("they do not fit the pattern", [path.to_owned()]);
            continue;
        };
        if kind == Kind::Film {
            films.push((path.to_owned(), of_path));
            continue;
        }
        let sources = kind.read(path, request.scalar.as_deref(), request.as_evaluations)?;
        if sources.is_empty() {
            left_out.add("they have no returns that are known by name", [path.to_owned()]);
        }
        for mut source in sources {
            let mut of_path = of_path.clone();
            if matches!(layout, Layout::Pattern(_)) {
                // What the user says comes before what the file does.
                source.labels = std::mem::take(&mut of_path).or(source.labels);
            }
            pieces.push(Piece { kind, path: path.to_owned(), of_path, source });
        }
    }
    let nothing = matches!(layout, Layout::Pattern(_)) && pieces.len() == before;
    anyhow::ensure!(!nothing, "no file with returns below {} fits the pattern", root.display());
    Ok(())
}

fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// The name of a file or folder, `.` included.
fn name_of(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    name.map_or_else(|| "imported".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Completes the labels of files by what others tell and the user says.
fn label(
    pieces: &mut [Piece],
    films: &mut [(PathBuf, Labels)],
    request: &Request,
    name: &str,
) -> anyhow::Result<()> {
    // What one file tells, it tells of all files in its folder that are of one training.
    let mut trainings: HashMap<&Path, usize> = HashMap::new();
    for piece in pieces.iter() {
        *trainings.entry(&piece.path).or_default() += 1;
    }
    let whole: Vec<bool> = pieces.iter().map(|piece| trainings[&*piece.path] == 1).collect();
    let mut of_folder: HashMap<PathBuf, Labels> = HashMap::new();
    for (piece, _) in pieces.iter().zip(&whole).filter(|(_, whole)| **whole) {
        let folder = of_folder.entry(folder(&piece.path)).or_default();
        *folder = std::mem::take(folder).or(piece.source.labels.clone());
    }
    for (piece, whole) in pieces.iter_mut().zip(whole) {
        let around = of_folder.get(&folder(&piece.path)).filter(|_| whole).cloned();
        let told = std::mem::take(&mut piece.source.labels).or(around.unwrap_or_default());
        piece.source.labels = told.or(std::mem::take(&mut piece.of_path));
    }
    for labels in pieces
        .iter_mut()
        .map(|piece| &mut piece.source.labels)
        .chain(films.iter_mut().map(|film| &mut film.1))
    {
        if let Some(agent) = &request.agent {
            labels.agent = Some(agent.clone());
        }
        if let Some(environment) = &request.environment {
            labels.environment = Some(environment.clone());
        }
        labels.agent.get_or_insert_with(|| name.to_owned());
    }
    // A file that does not say its environment is of the only one that others of its training say, or of the only one
    // that any says.
    let mut known: HashMap<(Option<String>, Option<u64>), BTreeSet<String>> = HashMap::new();
    let mut all = BTreeSet::new();
    for Labels { environment, agent, seed } in pieces.iter().map(|piece| &piece.source.labels) {
        let Some(environment) = environment else { continue };
        known.entry((agent.clone(), *seed)).or_default().insert(environment.clone());
        all.insert(environment.clone());
    }
    let only = |of: &BTreeSet<String>| of.first().filter(|_| of.len() == 1).cloned();
    for piece in pieces.iter_mut() {
        let labels = &mut piece.source.labels;
        if labels.environment.is_some() {
            continue;
        }
        let own = known.get(&(labels.agent.clone(), labels.seed)).and_then(&only);
        labels.environment = own.or_else(|| only(&all));
        anyhow::ensure!(
            labels.environment.is_some(),
            "{}: the file does not say which environment it is of; say it with --environment ID, or as {{environment}} in a \
             pattern",
            piece.path.display()
        );
    }
    Ok(())
}

/// Checks that names are such as an experiment may have: terminals and pages show them.
fn refuse_misleading(groups: &BTreeMap<Labels, Vec<Piece>>) -> anyhow::Result<()> {
    for (Labels { environment, agent, .. }, pieces) in groups {
        let mut told = [agent, environment].into_iter().flatten();
        let path = pieces.first().map(|piece| piece.path.display().to_string()).unwrap_or_default();
        if let Some(name) = told.find(|name| name.contains(names::misleads)) {
            anyhow::bail!(
                "{}: expected a name without characters that control writing or its direction, found {}; say another \
                 with --agent or --environment",
                names::short(&path),
                names::short(name)
            );
        }
    }
    Ok(())
}

/// Gives trainings without a number one, where there is only one of its agent.
fn number(
    groups: &mut BTreeMap<Labels, Vec<Piece>>,
    films: &mut [(PathBuf, Labels)],
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let without: Vec<Labels> =
        groups.keys().filter(|labels| labels.seed.is_none()).cloned().collect();
    for labels in without {
        let alone = groups.keys().all(|other| {
            *other == labels
                || (&other.agent, &other.environment) != (&labels.agent, &labels.environment)
        });
        let pieces = groups.remove(&labels).unwrap_or_default();
        let folders: BTreeSet<_> = pieces.iter().filter_map(|piece| piece.path.parent()).collect();
        let monitors = pieces.iter().filter(|piece| piece.kind == Kind::Monitor);
        let trained: BTreeSet<_> = monitors.filter_map(|piece| piece.path.parent()).collect();
        if !alone || trained.len() > 1 {
            let paths: Vec<String> =
                folders.iter().take(4).map(|path| path.display().to_string()).collect();
            anyhow::bail!(
                "{}: nothing in these paths tells the seed; write them as a pattern, for example 'logs/{{agent}}/{{seed}}'",
                paths.join(", ")
            );
        }
        let agent = labels.agent.as_deref().unwrap_or_default();
        notes.push(format!("{agent}: no seed is told; its only training is called seed 0"));
        for (_, of_film) in films.iter_mut().filter(|(_, film)| film.agent == labels.agent) {
            of_film.seed.get_or_insert(0);
        }
        groups.insert(Labels { seed: Some(0), ..labels }, pieces);
    }
    Ok(())
}

/// Makes one training of its files.
fn training(
    labels: Labels,
    pieces: Vec<Piece>,
    notes: &mut Vec<String>,
    left_out: &mut LeftOut,
) -> anyhow::Result<Training> {
    let Labels { environment, agent, seed } = labels;
    let (environment, agent) = (environment.unwrap_or_default(), agent.unwrap_or_default());
    let seed = seed.unwrap_or_default();
    let mut by_kind: BTreeMap<(bool, Kind), Vec<Piece>> = BTreeMap::new();
    for piece in pieces {
        by_kind.entry((piece.source.means, piece.kind)).or_default().push(piece);
    }
    let mut made = Training {
        environment,
        agent,
        seed,
        programs: BTreeSet::new(),
        score: FinalScore::Evaluation,
        files: Vec::new(),
        episodes: Vec::new(),
        means: false,
        evaluations: Vec::new(),
        films: Vec::new(),
    };
    for ((means, kind), pieces) in by_kind {
        let paths: Vec<PathBuf> = pieces.iter().map(|piece| piece.path.clone()).collect();
        let mut folders: Vec<_> = paths.iter().filter_map(|path| path.parent()).collect();
        folders.dedup();
        anyhow::ensure!(
            folders.len() == 1,
            "{} and {} both say that they are seed {seed} of {} in {}; leave one out, or tell them apart by a pattern \
             such as 'logs/{{agent}}/{{seed}}'",
            paths[0].display(),
            paths[paths.len() - 1].display(),
            made.agent,
            made.environment
        );
        let sources = pieces.into_iter().map(|piece| piece.source).collect();
        let mut source = joined(kind, sources, &paths)?;
        let told =
            format::list(&paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>());
        let takes_returns = made.episodes.is_empty() && !source.episodes.is_empty();
        let takes_evaluations = made.evaluations.is_empty() && !source.evaluations.is_empty();
        if !takes_returns && !takes_evaluations {
            let empty = source.episodes.is_empty() && source.evaluations.is_empty();
            let why =
                if empty { "they have no returns" } else { "other files tell more of the same" };
            left_out.add(why, paths);
            continue;
        }
        in_order(&source, &told)?;
        if takes_returns {
            made.episodes = std::mem::take(&mut source.episodes);
            made.means = means;
        }
        if takes_evaluations {
            made.evaluations = std::mem::take(&mut source.evaluations);
        }
        made.programs.insert(source.program);
        made.files.extend(paths);
        notes.append(&mut source.notes);
    }
    anyhow::ensure!(
        !made.episodes.is_empty() || !made.evaluations.is_empty(),
        "seed {seed} of {} in {} has no returns in any of its files:{}",
        made.agent,
        made.environment,
        left_out.notes().map(|note| format!("\n  {note}")).collect::<String>()
    );
    Ok(made)
}

/// The files of one kind of a training as one.
fn joined(kind: Kind, mut sources: Vec<Source>, paths: &[PathBuf]) -> anyhow::Result<Source> {
    match kind {
        Kind::Monitor => together(sources).context("a file was read"),
        // A program that goes on, or learns again, begins a new one.
        Kind::EventFile => {
            sources.sort_by(|a, b| a.started.unwrap_or(0.0).total_cmp(&b.started.unwrap_or(0.0)));
            Source::joined(sources).context("a file was read")
        }
        _ => {
            anyhow::ensure!(
                sources.len() == 1,
                "{} and {} are of the same training; leave one of them out",
                paths[0].display(),
                paths[paths.len() - 1].display()
            );
            sources.pop().context("a file was read")
        }
    }
}

/// Checks that steps do not go back.
fn in_order(source: &Source, told: &str) -> anyhow::Result<()> {
    let back =
        |steps: &[u64]| steps.windows(2).find(|two| two[1] < two[0]).map(|two| (two[0], two[1]));
    let played: Vec<u64> = source.episodes.iter().map(|episode| episode.steps).collect();
    let evaluated: Vec<u64> =
        source.evaluations.iter().map(|evaluation| evaluation.steps).collect();
    if let Some((before, after)) = back(&played).or_else(|| back(&evaluated)) {
        anyhow::bail!(
            "{told}: steps go back from {} to {}, as if two trainings were in it; give each a file or folder of its own",
            format::count(before),
            format::count(after)
        );
    }
    Ok(())
}

/// Leaves out trainings of which only means are told, where episodes are told of others of the agent: Stable-Baselines3
/// writes both, into folders that it numbers in its own way.
fn drop_copies(trainings: &mut Vec<Training>, left_out: &mut LeftOut) {
    let has_episodes = |training: &&Training| !training.means && !training.episodes.is_empty();
    let key = |training: &Training| (training.environment.clone(), training.agent.clone());
    let detailed: BTreeSet<_> = trainings.iter().filter(has_episodes).map(key).collect();
    trainings.retain(|training| {
        let copy = training.means && detailed.contains(&key(training));
        if copy {
            let files = training.files.iter().cloned();
            left_out.add("they have means where other files have the episodes", files);
        }
        !copy
    });
}

/// Decides what the final scores are of: the last evaluation where every seed of an agent has one, else the last training
/// returns, as many for every seed.
fn choose_scores(trainings: &mut [Training], last: Option<usize>) {
    let mut agents: BTreeMap<(String, String), Vec<&mut Training>> = BTreeMap::new();
    for training in trainings {
        let key = (training.environment.clone(), training.agent.clone());
        agents.entry(key).or_default().push(training);
    }
    for trainings in agents.into_values() {
        let evaluated = trainings.iter().all(|training| !training.evaluations.is_empty());
        let fewest = trainings.iter().map(|training| training.episodes.len()).min().unwrap_or(0);
        let score = match (evaluated, last) {
            (true, None) => FinalScore::Evaluation,
            (true, Some(_)) if fewest == 0 => FinalScore::Evaluation,
            (_, last) => FinalScore::TrainingReturns(last.unwrap_or_else(|| window(fewest))),
        };
        for training in trainings {
            training.score = score;
        }
    }
}

/// Gives films to the trainings that their paths name.
fn attach(films: Vec<(PathBuf, Labels)>, trainings: &mut [Training], left_out: &mut LeftOut) {
    let alone = trainings.len() == 1;
    for (path, labels) in films {
        let fits = |training: &&mut Training| {
            let environment =
                labels.environment.as_ref().is_none_or(|id| *id == training.environment);
            let agent = labels.agent.as_ref().is_none_or(|agent| *agent == training.agent);
            environment && agent && labels.seed == Some(training.seed)
        };
        match trainings.iter_mut().find(|training| alone || fits(training)) {
            Some(training) => training.films.push(path),
            None => left_out.add("no training is known by their paths", [path]),
        }
    }
}
