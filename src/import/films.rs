//! Films that other programs left beside their logs: Gymnasium's `RecordVideo` and Stable-Baselines3's `VecVideoRecorder`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Context as _;
use regex::Regex;

use super::left_out::LeftOut;
use super::reading::Film;
use super::training::Training;
use crate::record::{Moment, Progress, Take, TakeRecord};
use crate::store::TrialDir;
use crate::video::{self, Codec};

/// `rl-video-step-1000.mp4`, `rl-video-step-0-to-step-200.mp4`.
static STEP: LazyLock<Regex> = LazyLock::new(|| numbered("step"));
/// `rl-video-episode-8.mp4`.
static EPISODE: LazyLock<Regex> = LazyLock::new(|| numbered("episode"));

fn numbered(what: &str) -> Regex {
    Regex::new(&format!(r"{what}[-_=](\d{{1,15}})")).expect("a regular expression")
}

/// Gives films to trainings: to that of the files around a film, else to that which its path names.
pub(super) fn attach(films: Vec<Film>, trainings: &mut [Training], left_out: &mut LeftOut) {
    let mut folders: Vec<BTreeSet<PathBuf>> = Vec::new();
    for training in trainings.iter() {
        let around = training.files.iter().flat_map(|file| file.ancestors().skip(1));
        folders.push(around.map(Path::to_owned).collect());
    }
    for film in films {
        let with_files = |folder: &Path| -> Vec<usize> {
            (0..trainings.len()).filter(|training| folders[*training].contains(folder)).collect()
        };
        let mut around = film.path.ancestors().skip(1).map(with_files);
        let nearest = around.find(|found| !found.is_empty()).unwrap_or_default();
        let named = || {
            let fits = |training: &usize| is_named(&film, &trainings[*training]);
            (0..trainings.len()).filter(fits).collect()
        };
        let found: Vec<usize> = if nearest.len() == 1 { nearest } else { named() };
        let [training] = found[..] else {
            left_out.add("it is not told which training they are of", [film.path]);
            continue;
        };
        match placed(&film.path, &trainings[training]) {
            Ok(_) => trainings[training].films.push(film.path),
            Err(why) => left_out.add(why, [film.path]),
        }
    }
}

/// Whether the path of a film names this training, and with no number that need not be its seed.
fn is_named(film: &Film, training: &Training) -> bool {
    let place = film.place.folders.as_ref().map(|folders| folders.place(None)).unwrap_or_default();
    let labels = film.place.said.clone().or(place.labels);
    let of = |folder: &Path| folder.file_name().map(|name| name.to_owned());
    let own = training.numbered.as_ref().and_then(|numbered| of(&numbered.folder));
    let guess = place.numbered.is_none_or(|numbered| own == of(&numbered.folder));
    let environment = labels.environment.is_none_or(|id| id == training.environment);
    let agent = labels.agent.is_some_and(|agent| agent == training.agent);
    guess && environment && agent && labels.seed == Some(training.seed)
}

/// Copies a film into a trial's directory; how far training had come then, and the take.
///
/// # Errors
/// Fails if the file is no film that a browser plays, or cannot be copied.
pub(super) fn copy(
    path: &Path,
    number: usize,
    training: &Training,
    dir: &TrialDir,
) -> anyhow::Result<(Progress, TakeRecord)> {
    let facts = video::probe_file(path)?;
    let codec = Codec::named(&facts.codec)
        .with_context(|| format!("{}: browsers do not play {}", path.display(), facts.codec))?;
    let at = placed(path, training).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
    let file = format!("film-{number:03}.mp4");
    fs_err::copy(path, dir.file(&file))?;
    let episode = told(path, &STEP).is_none().then_some(at.episodes as usize);
    let played = episode.and_then(|episode| training.episodes.get(episode));
    let take = Take {
        seeds: Vec::new(),
        returns: played.map(|episode| episode.r#return).into_iter().collect(),
        lengths: Vec::new(),
        cut: Vec::new(),
        rewards: Vec::new(),
        frames: facts.frames,
        fps: (facts.frames as f64 / facts.duration.max(1e-3)).round().clamp(1.0, 1000.0) as u32,
        width: facts.width,
        height: facts.height,
        codec,
        encoder: "unknown".into(),
    };
    let poster = format!("film-{number:03}.png");
    Ok((at, TakeRecord { moment: Moment::Training, file, poster, numbers: None, take }))
}

/// The number behind a word in a film's name.
fn told(path: &Path, word: &Regex) -> Option<u64> {
    let name = path.file_stem()?.to_str()?;
    word.captures(name)?[1].parse().ok()
}

/// How far training had come when a film began, as its name tells; else why that is not known.
fn placed(path: &Path, training: &Training) -> Result<Progress, &'static str> {
    let episodes = &training.episodes;
    if let Some(step) = told(path, &STEP) {
        // A recorder counts the steps of one copy of the environment.
        let steps = step.saturating_mul(training.copies.unwrap_or(1));
        if steps > training.steps() {
            return Err("they are of steps after the last one of the logs");
        }
        let before = episodes.partition_point(|episode| episode.steps <= steps);
        let ended = if training.means { 0 } else { before };
        return Ok(Progress { episodes: ended as u64, steps, updates: 0 });
    }
    let episode = told(path, &EPISODE).ok_or("their names tell no step and no episode")?;
    if training.copies != Some(1) {
        return Err(
            "the logs do not tell at which step the episodes of one copy of the environment ended",
        );
    }
    if episode > episodes.len() as u64 {
        return Err("they are of episodes after the last one of the logs");
    }
    let steps = (episode as usize).checked_sub(1).map_or(0, |last| episodes[last].steps);
    Ok(Progress { episodes: episode, steps, updates: 0 })
}
