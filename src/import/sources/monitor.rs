//! Stable-Baselines3's `Monitor`: a line of JSON after `#`, then CSV with `r` (return), `l` (length) and `t` (seconds since
//! the file was begun) of every episode, and whatever else its user had it keep.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::env::input;
use crate::import::layout::Labels;
use crate::import::training::{Episode, Source, finite, whole};

/// The first line.
#[derive(Deserialize)]
struct Header {
    t_start: f64,
    env_id: Option<String>,
}

/// Reads the file of one copy of the environment; steps are those of this copy.
///
/// # Errors
/// Fails if it cannot be read, or a line is not what Monitor writes.
pub(super) fn read(path: &Path) -> anyhow::Result<Source> {
    let text = input::read_text(path)?;
    let (first, table) = text.split_once('\n').unwrap_or((&text, ""));
    let header = first.strip_prefix('#').unwrap_or_default().trim();
    let header: Header = serde_json::from_str(header).with_context(|| {
        format!("{} line 1: expected the `#{{\"t_start\": …}}` of Monitor", path.display())
    })?;
    let mut source = Source {
        program: "Stable-Baselines3 (Monitor)",
        labels: Labels {
            environment: header.env_id.filter(|id| !id.is_empty() && id != "None"),
            ..Labels::default()
        },
        copies: Some(1),
        started: Some(header.t_start),
        ..Source::default()
    };
    if table.trim().is_empty() {
        return Ok(source);
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(table.as_bytes());
    let names = reader.headers().with_context(|| format!("{}", path.display()))?.clone();
    let column = |name: &str| {
        names.iter().position(|known| known == name).with_context(|| {
            format!("{} line 2: expected the columns r,l,t, found no `{name}`", path.display())
        })
    };
    let (r, l, t) = (column("r")?, column("l")?, column("t")?);
    let (mut played, mut before, mut latest) = (0, 0.0, 0.0);
    for record in reader.records() {
        let record = record.with_context(|| format!("{}", path.display()))?;
        let line = record.position().map_or(0, csv::Position::line) + 1;
        let place = || format!("{} line {line}", path.display());
        let number = |column: usize| record.get(column)?.trim().parse::<f64>().ok();
        let row = number(r).zip(number(l)).zip(number(t)).filter(|_| record.len() == names.len());
        let Some(((r#return, length), seconds)) = row else {
            // A program that was killed leaves half a line.
            if reader_is_done(table, &record) && !table.ends_with('\n') {
                source
                    .notes
                    .push(format!("{}: the last line is cut off and left out", path.display()));
                break;
            }
            anyhow::bail!("{}: expected the numbers r,l,t of an episode", place());
        };
        let r#return = finite(r#return, "return", place)?;
        let length = whole(length, "length", place)?;
        played = whole((played + length) as f64, "sum of lengths", place)?;
        let seconds = finite(seconds, "time", place)?;
        // A training that went on in the same file counts its seconds anew.
        if seconds < latest - before {
            before = latest;
            source.copies = None;
        }
        latest = before + seconds;
        let seconds = Some(latest);
        source.episodes.push(Episode { steps: played, seconds, r#return, length: Some(length) });
    }
    Ok(source)
}

/// Whether `record` is the last of the table.
fn reader_is_done(table: &str, record: &csv::StringRecord) -> bool {
    let begins = record.position().map_or(0, csv::Position::byte) as usize;
    table.get(begins..).is_some_and(|rest| !rest.trim().contains('\n'))
}

/// Makes one training of those of several copies of an environment: episodes in the order in which they ended, steps over
/// all copies, as Stable-Baselines3's `load_results` does.
pub(in crate::import) fn together(sources: Vec<Source>) -> Option<Source> {
    let copies = sources.iter().map(|source| source.copies).sum();
    let mut whole = Source { copies, ..Source::joined(sources)? };
    whole.episodes.sort_by(|a, b| a.seconds.unwrap_or(0.0).total_cmp(&b.seconds.unwrap_or(0.0)));
    let mut played = 0_u64;
    for episode in &mut whole.episodes {
        played = played.saturating_add(episode.length.unwrap_or(0));
        episode.steps = played;
    }
    Some(whole)
}
