//! Reads datasets: ours, and those of Minari with Parquet files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use fs_err as fs;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Transitions;
use crate::env::Space;

/// The files of the dataset in `folder`, episode by episode.
///
/// # Errors
/// Fails if there is no dataset of ours or of Minari's, or it has other files than Parquet.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    // Minari keeps what we write in a folder `data`.
    let inner = folder.join("data");
    let folder = if inner.join("metadata.json").is_file() { &inner } else { folder };
    let metadata = fs::read(folder.join("metadata.json"))
        .context("expected the folder of a dataset, with metadata.json")?;
    let metadata: Value = serde_json::from_slice(&metadata)
        .with_context(|| format!("{}: expected JSON", folder.join("metadata.json").display()))?;
    let format = metadata["data_format"].as_str().unwrap_or("hdf5");
    anyhow::ensure!(
        format == "parquet",
        "{}: expected \"data_format\": \"parquet\", found \"{format}\"; let Minari write it so, by the argument \
         `data_format`",
        folder.join("metadata.json").display()
    );
    let episodes = metadata["total_episodes"].as_u64().unwrap_or(0);
    let mut files = Vec::new();
    for episode in 0..episodes {
        let mut parts: Vec<PathBuf> = fs::read_dir(folder.join(episode.to_string()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        parts.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
        // Minari writes an episode into one file.
        let [part] = &parts[..] else {
            anyhow::bail!(
                "{}: expected one Parquet file for the episode, found {}",
                folder.join(episode.to_string()).display(),
                parts.len()
            );
        };
        files.push(part.clone());
    }
    Ok(files)
}

impl Transitions {
    /// The steps of the dataset in `folder`, which has elements of these spaces, and the SHA-256 of its files.
    ///
    /// # Errors
    /// Fails if it cannot be read, has no steps or holds something else.
    pub fn read(
        folder: &Path,
        observations: &Space,
        actions: &Space,
    ) -> anyhow::Result<(Self, String)> {
        let mut transitions = Self::new(observations, actions);
        let mut digest = Sha256::new();
        for file in files(folder)? {
            let content = fs::read(&file)?;
            digest.update(&content);
            transitions
                .read_episode(content.into(), observations, actions)
                .with_context(|| file.display().to_string())?;
        }
        anyhow::ensure!(!transitions.is_empty(), "{}: the dataset has no steps", folder.display());
        Ok((transitions, HEXLOWER.encode(&digest.finalize())))
    }

    fn read_episode(
        &mut self,
        content: Bytes,
        observations: &Space,
        actions: &Space,
    ) -> anyhow::Result<()> {
        let reader = SerializedFileReader::new(content)?;
        let rows = usize::try_from(reader.metadata().file_metadata().num_rows())?;
        let steps = rows.saturating_sub(1);
        let seen = elements(&reader, "observations", observations, rows)?;
        let mut done = elements(&reader, "actions", actions, rows)?;
        // The last observation was not acted on.
        done.truncate(steps * actions.len());
        let numbers = |name| {
            let numbers = column(&reader, name, rows)?;
            anyhow::ensure!(
                numbers[..steps].iter().all(|number| number.is_finite()),
                "{name}: expected finite numbers"
            );
            Ok(numbers)
        };
        let (rewards, terminations) = (numbers("rewards")?, numbers("terminations")?);
        belong("observations", observations, &seen)?;
        belong("actions", actions, &done)?;
        let terminated = steps.checked_sub(1).is_some_and(|last| terminations[last] != 0.0);
        self.push(&seen, &done, &rewards[..steps], terminated);
        Ok(())
    }
}

/// Fails unless the flat `elements` are of `space`. Numbers of a box need only be finite: its bounds may have been drawn
/// elsewhere.
fn belong(name: &str, space: &Space, elements: &[f32]) -> anyhow::Result<()> {
    let mut elements = elements.chunks_exact(space.len()).enumerate();
    let belongs = |element: &[f32]| match space {
        Space::Box { .. } => element.iter().all(|number| number.is_finite()),
        _ => space.contains(element),
    };
    match elements.find(|(_, element)| !belongs(element)) {
        Some((row, element)) => {
            anyhow::bail!("{name}: expected elements of {space}, found {element:?} in row {row}")
        }
        None => Ok(()),
    }
}

/// So many elements of a space, flat, one after another, from the columns of this name.
fn elements(
    reader: &SerializedFileReader<Bytes>,
    name: &str,
    space: &Space,
    rows: usize,
) -> anyhow::Result<Vec<f32>> {
    let names: Vec<String> = match space {
        Space::Tuple { spaces } => (0..spaces.len()).map(|index| index.to_string()).collect(),
        Space::Dict { spaces } => spaces.keys().cloned().collect(),
        _ => {
            let numbers = column(reader, name, rows * space.len())
                .with_context(|| format!("expected {rows} elements of {space}"))?;
            return Ok(numbers.into_iter().map(|number| number as f32).collect());
        }
    };
    let len = space.len();
    let mut elements = vec![0.0; rows * len];
    let mut offset = 0;
    for (part, space) in names.iter().zip(space.parts()) {
        let numbers = self::elements(reader, &format!("{name}.{part}"), space, rows)?;
        let parts = numbers.chunks_exact(space.len());
        for (element, part) in elements.chunks_exact_mut(len).zip(parts) {
            element[offset..offset + part.len()].copy_from_slice(part);
        }
        offset += space.len();
    }
    Ok(elements)
}

/// The numbers of the column of this name, or of its lists, of which there are so many.
fn column(
    reader: &SerializedFileReader<Bytes>,
    name: &str,
    count: usize,
) -> anyhow::Result<Vec<f64>> {
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let is_it = |path: &str| {
        path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(".list."))
    };
    let index = columns.iter().position(|column| is_it(&column.path().string()));
    let index = index.with_context(|| format!("the column `{name}` is missing"))?;
    let mut numbers = Vec::new();
    for group in 0..reader.num_row_groups() {
        read(&*reader.get_row_group(group)?, index, &mut numbers)
            .with_context(|| format!("the column `{name}`"))?;
    }
    anyhow::ensure!(
        numbers.len() == count,
        "the column `{name}`: expected {count} numbers, found {}",
        numbers.len()
    );
    Ok(numbers)
}

/// Appends the numbers of a column of a row group.
fn read(group: &dyn RowGroupReader, index: usize, numbers: &mut Vec<f64>) -> anyhow::Result<()> {
    let rows = usize::try_from(group.metadata().num_rows())?;
    match group.get_column_reader(index)? {
        ColumnReader::BoolColumnReader(reader) => {
            append(reader, rows, numbers, |&is| f64::from(u8::from(is)))?;
        }
        ColumnReader::Int32ColumnReader(reader) => {
            append(reader, rows, numbers, |&number| f64::from(number))?;
        }
        ColumnReader::Int64ColumnReader(reader) => {
            append(reader, rows, numbers, |&number| number as f64)?;
        }
        ColumnReader::FloatColumnReader(reader) => {
            append(reader, rows, numbers, |&number| f64::from(number))?;
        }
        ColumnReader::DoubleColumnReader(reader) => {
            append(reader, rows, numbers, |&number| number)?
        }
        _ => anyhow::bail!("expected numbers"),
    }
    Ok(())
}

fn append<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    numbers: &mut Vec<f64>,
    number: impl Fn(&T::T) -> f64,
) -> Result<(), ParquetError> {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        let (read, ..) = reader.read_records(
            left,
            Some(&mut definitions),
            Some(&mut repetitions),
            &mut values,
        )?;
        if read == 0 {
            break;
        }
        left -= read;
    }
    numbers.extend(values.iter().map(number));
    Ok(())
}
