//! Films that other programs left beside their logs: Gymnasium's `RecordVideo` and Stable-Baselines3's `VecVideoRecorder`.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::Context as _;
use regex::Regex;

use crate::record::{Moment, Progress, Take, TakeRecord};
use crate::store::TrialDir;
use crate::video::{self, Codec};

use super::Training;

/// `rl-video-episode-8.mp4`, `rl-video-step-1000.mp4`, `rl-video-step-0-to-step-200.mp4`.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<unit>episode|step)[-_](?P<number>\d{1,15})").expect("a regular expression")
});

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
    let at = placed(path, training);
    let file = format!("film-{number:03}.mp4");
    fs_err::copy(path, dir.file(&file))?;
    let played = training.episodes.get(at.episodes as usize).filter(|_| of_episode(path));
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

/// Whether a film is of an episode that its name numbers, and that the training's returns number too.
fn of_episode(path: &Path) -> bool {
    name(path).is_some_and(|(is_episode, _)| is_episode)
}

fn name(path: &Path) -> Option<(bool, u64)> {
    let name = path.file_stem()?.to_str()?;
    let found = NAME.captures(name)?;
    Some((&found["unit"] == "episode", found["number"].parse().ok()?))
}

/// How far training had come when a film began, as far as its name tells.
fn placed(path: &Path, training: &Training) -> Progress {
    let of_training =
        |episodes: usize, steps: u64| Progress { episodes: episodes as u64, steps, updates: 0 };
    match name(path) {
        Some((true, episode)) => {
            let ended = (episode as usize).min(training.episodes.len());
            let before = ended.checked_sub(1).map_or(0, |last| training.episodes[last].steps);
            of_training(ended, before)
        }
        Some((false, steps)) => {
            let steps = steps.min(training.steps());
            of_training(training.episodes.partition_point(|episode| episode.steps <= steps), steps)
        }
        None => of_training(training.episodes.len(), training.steps()),
    }
}
