//! Stable-Baselines3's `EvalCallback`: `evaluations.npz` with `timesteps` (n), `results` (n × episodes) and `ep_lengths`
//! (n × episodes).

use std::io::{Read as _, Seek};
use std::path::Path;

use anyhow::Context as _;
use npyz::NpyFile;
use zip::ZipArchive;

use crate::import::training::{EvaluationPoint, Source, finite, whole};

/// An array: its numbers, row by row, and their shape.
struct Array {
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

/// Reads the file.
///
/// # Errors
/// Fails if it cannot be read or is not what EvalCallback writes.
pub(super) fn read(path: &Path) -> anyhow::Result<Source> {
    let file = fs_err::File::open(path)?;
    let read = || -> anyhow::Result<Vec<EvaluationPoint>> {
        let mut archive = ZipArchive::new(file).context("expected an archive of NumPy arrays")?;
        let timesteps = array(&mut archive, "timesteps")?
            .context("expected the array `timesteps`, as EvalCallback writes it")?;
        let results = array(&mut archive, "results")?
            .context("expected the array `results`, as EvalCallback writes it")?;
        let lengths = array(&mut archive, "ep_lengths")?;
        let rows = timesteps.numbers.len();
        let episodes = match &results.shape[..] {
            [n, episodes] if *n == rows && *episodes > 0 => *episodes,
            shape => anyhow::bail!(
                "expected `results` of shape ({rows}, episodes) beside {rows} `timesteps`, found {shape:?}"
            ),
        };
        let lengths = lengths.filter(|lengths| lengths.shape == results.shape);
        let point = |row: usize| {
            let place = || format!("evaluation {}", row + 1);
            let of = |array: &Array| array.numbers[row * episodes..(row + 1) * episodes].to_vec();
            let returns = of(&results).into_iter().map(|value| finite(value, "return", place));
            let lengths = lengths.as_ref().map(of).unwrap_or_default();
            Ok(EvaluationPoint {
                steps: whole(timesteps.numbers[row], "steps", place)?,
                returns: returns.collect::<anyhow::Result<_>>()?,
                lengths: lengths
                    .into_iter()
                    .map(|n| whole(n, "length", place))
                    .collect::<anyhow::Result<_>>()?,
            })
        };
        (0..rows).map(point).collect()
    };
    let evaluations = read().with_context(|| format!("{}", path.display()))?;
    Ok(Source { program: "Stable-Baselines3 (EvalCallback)", evaluations, ..Source::default() })
}

/// An array of numbers of the archive; nothing where it is not in there.
fn array<R: std::io::Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
) -> anyhow::Result<Option<Array>> {
    /// An array of a few thousand evaluations takes some hundred kilobytes.
    const MOST_BYTES: u64 = 1 << 28;
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else { return Ok(None) };
    let mut bytes = Vec::new();
    archive.by_index(index)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() as u64 <= MOST_BYTES, "the array `{name}` is too large");
    let damaged = || format!("the array `{name}` is damaged");
    let npy = NpyFile::new(&bytes[..]).with_context(damaged)?;
    let shape: Vec<usize> = npy.shape().iter().map(|&n| n as usize).collect();
    anyhow::ensure!(
        npy.order() == npyz::Order::C || shape.len() < 2,
        "the array `{name}` is not in C order"
    );
    let numbers = match npy.dtype().descr().trim_matches('\'') {
        descr if descr.ends_with("i8") => as_numbers(npy.into_vec::<i64>().with_context(damaged)?),
        descr if descr.ends_with("i4") => {
            npy.into_vec::<i32>().with_context(damaged)?.into_iter().map(f64::from).collect()
        }
        descr if descr.ends_with("f4") => {
            npy.into_vec::<f32>().with_context(damaged)?.into_iter().map(f64::from).collect()
        }
        descr if descr.ends_with("f8") => npy.into_vec::<f64>().with_context(damaged)?,
        descr => {
            anyhow::bail!("the array `{name}`: expected numbers, found elements of type {descr}")
        }
    };
    anyhow::ensure!(
        numbers.len() == shape.iter().product::<usize>(),
        "the array `{name}` has {} numbers, its shape is {shape:?}",
        numbers.len()
    );
    Ok(Some(Array { shape, numbers }))
}

fn as_numbers(numbers: Vec<i64>) -> Vec<f64> {
    numbers.into_iter().map(|number| number as f64).collect()
}
