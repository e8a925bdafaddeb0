//! Which training each file is of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::layout::{Labels, Numbered};
use super::reading::Piece;
use super::sources::Kind;
use crate::env::names;

/// What the user says of all files, whatever they tell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said<'a> {
    /// What the agent is called.
    pub(super) agent: Option<&'a str>,
    /// The environment's id.
    pub(super) environment: Option<&'a str>,
}

/// The files of each training.
///
/// # Errors
/// Fails, naming a file, if it cannot be told which training it is of, or its training has a name that misleads.
pub(super) fn group(
    mut pieces: Vec<Piece>,
    said: Said<'_>,
    notes: &mut Vec<String>,
) -> anyhow::Result<BTreeMap<Labels, Vec<Piece>>> {
    label(&mut pieces, said)?;
    let mut groups: BTreeMap<Labels, Vec<Piece>> = BTreeMap::new();
    for piece in pieces {
        groups.entry(piece.source.labels.clone()).or_default().push(piece);
    }
    refuse_misleading(&groups)?;
    number(&mut groups, notes)?;
    Ok(groups)
}

/// Completes the labels of files by what their paths and other files tell and the user says.
fn label(pieces: &mut [Piece], said: Said<'_>) -> anyhow::Result<()> {
    // What one file tells, it tells of all files in its folder that are of one training.
    let mut trainings: HashMap<&Path, usize> = HashMap::new();
    for piece in pieces.iter() {
        *trainings.entry(&piece.path).or_default() += 1;
    }
    let whole: Vec<bool> = pieces.iter().map(|piece| trainings[&*piece.path] == 1).collect();
    let folder = |piece: &Piece| piece.path.parent().map(Path::to_owned).unwrap_or_default();
    let mut of_folder: HashMap<PathBuf, Labels> = HashMap::new();
    for (piece, _) in pieces.iter().zip(&whole).filter(|(_, whole)| **whole) {
        let around = of_folder.entry(folder(piece)).or_default();
        *around = std::mem::take(around).or(piece.source.labels.clone());
    }
    for (piece, whole) in pieces.iter_mut().zip(whole) {
        let around = of_folder.get(&folder(piece)).filter(|_| whole).cloned();
        let own = piece.place.said.clone().or(std::mem::take(&mut piece.source.labels));
        let mut told = own.or(around.unwrap_or_default());
        if let Some(folders) = &piece.place.folders {
            let environment = told.environment.as_deref().or(said.environment);
            let place = folders.place(environment);
            piece.numbered = place.numbered.filter(|_| told.seed.is_none());
            told = told.or(place.labels);
        }
        let of_user = Labels {
            environment: said.environment.map(str::to_owned),
            agent: said.agent.map(str::to_owned),
            seed: None,
        };
        let root = Labels { agent: Some(piece.place.root.clone()), ..Labels::default() };
        piece.source.labels = of_user.or(told).or(root);
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
        anyhow::ensure!(
            alone && !are_several(&pieces),
            "{}: nothing in these paths tells the seed; write them as a pattern in quotes, for example {}",
            some(&pieces),
            pattern(&pieces)
        );
        let agent = labels.agent.as_deref().unwrap_or_default();
        notes.push(format!("{agent}: no seed is told; its only training is called seed 0"));
        groups.insert(Labels { seed: Some(0), ..labels }, pieces);
    }
    Ok(())
}

/// Whether files cannot be of one training: there are two of a kind that has one for each.
fn are_several(pieces: &[Piece]) -> bool {
    let mut places: BTreeMap<Kind, BTreeSet<&Path>> = BTreeMap::new();
    for piece in pieces {
        // In one folder, a vector environment has several Monitors, and a program several event files.
        let is_shared = matches!(piece.kind, Kind::Monitor | Kind::EventFile);
        let place =
            if is_shared { piece.path.parent().unwrap_or(Path::new("")) } else { &piece.path };
        places.entry(piece.kind).or_default().insert(place);
    }
    places.values().any(|places| places.len() > 1)
}

/// A few of the paths.
fn some(pieces: &[Piece]) -> String {
    let paths: BTreeSet<String> =
        pieces.iter().map(|piece| piece.path.display().to_string()).collect();
    names::list(&paths.into_iter().take(4).collect::<Vec<_>>())
}

/// An example of a pattern for files as these are.
pub(super) fn pattern(pieces: &[Piece]) -> String {
    let Some(first) = pieces.first() else { return String::new() };
    let folder = first.path.parent().unwrap_or(Path::new(""));
    let beside = pieces.iter().all(|piece| piece.path.parent() == Some(folder));
    let ending = first.path.extension().unwrap_or_default();
    let pattern = match beside {
        true => folder.join(format!("{{agent}}_{{seed}}.{}", ending.display())),
        false => PathBuf::from("logs/{agent}/{seed}"),
    };
    format!("'{}'", pattern.display())
}

/// Notes about the seeds that were guessed: what was taken for each agent's, and how to say otherwise.
pub(super) fn guesses<'a>(
    trainings: impl Iterator<Item = (&'a str, u64, &'a Option<Numbered>)>,
) -> Vec<String> {
    let mut guessed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (agent, seed, numbered) in trainings {
        let Some(numbered) = numbered.as_ref().filter(|numbered| numbered.has_words) else {
            continue;
        };
        let name = numbered.folder.file_name().unwrap_or_default().to_string_lossy();
        guessed.entry(agent).or_default().push(format!("{seed} of {name}"));
    }
    let note = |(agent, seeds): (&str, Vec<String>)| {
        format!(
            "{agent}: the numbers at the ends of folders' names are taken as seeds ({}); where they are something else, \
             say by a pattern which part is the seed, for example 'logs/{{agent}}/{{seed}}'",
            names::list(&seeds)
        )
    };
    guessed.into_iter().map(note).collect()
}
