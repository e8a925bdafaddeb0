//! One training of all its files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;

use super::layout::Labels;
use super::left_out::LeftOut;
use super::naming;
use super::reading::Piece;
use super::sources::{Kind, together};
use super::training::{Source, Training};
use crate::experiment::FinalScore;
use crate::format;

/// Makes a training of its files; nothing where none has a return.
///
/// # Errors
/// Fails if the files are of several trainings.
pub(super) fn training(
    labels: Labels,
    pieces: Vec<Piece>,
    notes: &mut Vec<String>,
    left_out: &mut LeftOut,
) -> anyhow::Result<Option<Training>> {
    let Labels { environment, agent, seed } = labels;
    let (environment, agent) = (environment.unwrap_or_default(), agent.unwrap_or_default());
    let seed = seed.unwrap_or_default();
    let pieces = of_one_tree(pieces, left_out);
    let numbered = pieces.iter().find_map(|piece| piece.numbered.clone());
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
        numbered,
        episodes: Vec::new(),
        means: false,
        copies: None,
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
        let mut source = joined(kind, pieces)?;
        let told =
            format::list(&paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>());
        let takes_returns = made.episodes.is_empty() && !source.episodes.is_empty();
        let takes_evaluations = made.evaluations.is_empty() && !source.evaluations.is_empty();
        if !takes_returns && !takes_evaluations {
            let why = if source.is_empty() {
                "they have no returns"
            } else {
                "other files tell more of the same"
            };
            left_out.add(why, paths);
            continue;
        }
        in_order(&source, &told)?;
        if takes_returns {
            made.episodes = std::mem::take(&mut source.episodes);
            (made.means, made.copies) = (means, source.copies);
        }
        if takes_evaluations {
            made.evaluations = std::mem::take(&mut source.evaluations);
        }
        made.programs.insert(source.program);
        made.files.extend(paths);
        notes.append(&mut source.notes);
    }
    Ok((!made.files.is_empty()).then_some(made))
}

/// Leaves out the files of other folders whose number only happens to be the seed too: programs number their runs, and the
/// runs of one folder need not be those of another. Of two such folders, that with the kind of file stays that tells most.
fn of_one_tree(pieces: Vec<Piece>, left_out: &mut LeftOut) -> Vec<Piece> {
    let folder = |piece: &Piece| piece.numbered.as_ref().map(|numbered| numbered.folder.clone());
    // A seed that is told comes before one that is guessed.
    let Some(kept) =
        pieces.iter().map(|piece| (folder(piece).is_some(), piece.kind, folder(piece))).min()
    else {
        return pieces;
    };
    let kinds: BTreeSet<Kind> =
        pieces.iter().filter(|piece| folder(piece) == kept.2).map(|piece| piece.kind).collect();
    // Two of a kind are refused, where they are joined.
    let (stay, others): (Vec<Piece>, Vec<Piece>) = pieces
        .into_iter()
        .partition(|piece| folder(piece) == kept.2 || kinds.contains(&piece.kind));
    if !others.is_empty() {
        let why = "their folders' numbers need not be the seeds of the other files; a pattern such as \
                   'logs/*/{agent}_{seed}' says that they are";
        left_out.add(why, others.into_iter().map(|piece| piece.path));
    }
    stay
}

/// The files of one kind of a training as one.
fn joined(kind: Kind, pieces: Vec<Piece>) -> anyhow::Result<Source> {
    match kind {
        Kind::Monitor => together(pieces.into_iter().map(|piece| piece.source).collect())
            .context("a file was read"),
        Kind::EventFile => one_after_another(pieces).context("a file was read"),
        _ => {
            let first = pieces.first().map(|piece| &piece.path);
            let once = pieces.iter().filter(|piece| Some(&piece.path) == first).count() == 1;
            anyhow::ensure!(
                once,
                "{}: some of its trainings are the same when agents or environments are called otherwise; leave out \
                 --agent or --environment",
                pieces[0].path.display()
            );
            anyhow::ensure!(
                pieces.len() == 1,
                "{} and {} are of the same training; leave one of them out, or tell them apart by a pattern in quotes, \
                 for example {}",
                pieces[0].path.display(),
                pieces[pieces.len() - 1].path.display(),
                naming::pattern(&pieces)
            );
            pieces.into_iter().next().map(|piece| piece.source).context("a file was read")
        }
    }
}

/// Event files as one: a program that goes on, or learns again, begins a new one. What was lost when it went on from an earlier state
/// is left out, as TensorBoard does.
fn one_after_another(mut pieces: Vec<Piece>) -> Option<Source> {
    let begun = |piece: &Piece| piece.source.started.unwrap_or(0.0);
    pieces.sort_by(|a, b| begun(a).total_cmp(&begun(b)));
    for later in 1..pieces.len() {
        let (before, after) = pieces.split_at_mut(later);
        let Some((resumed, _)) = after[0].source.span() else { continue };
        let first =
            before.iter().filter_map(|piece| piece.source.span()).map(|(first, _)| first).min();
        // From the very beginning, it is another training.
        if first.is_none_or(|first| resumed <= first) {
            continue;
        }
        let lost: usize = before.iter_mut().map(|piece| piece.source.go_back_to(resumed)).sum();
        if lost > 0 {
            let note = format!(
                "{}: the training went on from step {}; {} of other files from there on are left out",
                after[0].path.display(),
                format::count(resumed),
                format::plural(lost, "return")
            );
            after[0].source.notes.push(note);
        }
    }
    Source::joined(pieces.into_iter().map(|piece| piece.source).collect())
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

/// Leaves out trainings that only means or TensorBoard tell of, where other files have the episodes of others of the agent:
/// Stable-Baselines3 writes both, into folders that it numbers in its own way.
pub(super) fn drop_copies(trainings: &mut Vec<Training>, left_out: &mut LeftOut) {
    let has_episodes = |training: &Training| !training.means && !training.episodes.is_empty();
    let key = |training: &Training| (training.environment.clone(), training.agent.clone());
    let detailed: BTreeSet<_> =
        trainings.iter().filter(|training| has_episodes(training)).map(key).collect();
    trainings.retain(|training| {
        let of_events = training.files.iter().all(|path| Kind::of(path) == Some(Kind::EventFile));
        let guessed = of_events && training.numbered.is_some();
        let less = !has_episodes(training) && (training.means || guessed);
        let copy = less && detailed.contains(&key(training));
        if copy {
            let files = training.files.iter().cloned();
            left_out.add("they have means where other files have the episodes", files);
        }
        !copy
    });
}
