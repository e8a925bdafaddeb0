//! Tables: CSV, lines of JSON and Parquet, with whatever columns a person, Weights & Biases, RLlib or Stable-Baselines3's
//! logger writes. A row is an episode, a mean over several or an evaluation; a table may hold many trainings.

use std::path::Path;

use anyhow::Context as _;
use indexmap::IndexMap;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::Value;

use super::Content;
use super::cell::Cell;
use super::chart::Chart;
use super::repeats::Repeats;
use super::roles::{Roles, Wanted, counts_calls};
use crate::env::input;
use crate::format::plural;
use crate::import::layout::Labels;
use crate::import::training::{Episode, Source, whole};

/// What tables are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
    Parquet,
}

/// A table as it was read.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: Vec<String>,
    rows: Vec<Vec<Cell>>,
    /// How many lines stand before the first row.
    header: usize,
    /// Whether the last line is cut off; it is left out.
    cut_off: bool,
    /// What is wrong after the last row that could be read: of no concern where the table is not about returns.
    damage: Option<anyhow::Error>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is none of this format.
    pub(super) fn read(path: &Path, format: Format) -> anyhow::Result<Self> {
        let whole = match format {
            Format::Csv => Self::csv(&input::read_text(path)?),
            Format::JsonLines => Self::json_lines(&input::read_text(path)?),
            Format::Parquet => Self::parquet(path),
        };
        whole.with_context(|| format!("{}", path.display()))
    }

    /// The table that a text of CSV is.
    pub(super) fn csv(text: &str) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let names: Vec<String> =
            reader.headers()?.iter().map(|name| name.trim().to_owned()).collect();
        let mut table = Self { names, header: 1, ..Self::default() };
        let mut records = reader.records().peekable();
        while let Some(record) = records.next() {
            let record = record?;
            if record.len() != table.names.len() {
                table.cut_off = records.peek().is_none() && !text.ends_with('\n');
                let line = record.position().map_or(0, csv::Position::line);
                let (expected, found) = (table.names.len(), record.len());
                table.damage = (!table.cut_off).then(|| {
                    anyhow::anyhow!(
                        "line {line}: expected {expected} fields, as the header has, found {found}"
                    )
                });
                break;
            }
            table.rows.push(record.iter().map(Cell::of_text).collect());
        }
        Ok(table)
    }

    /// Reads lines of JSON, or a whole file of it: an object, or an array of them.
    fn json_lines(text: &str) -> anyhow::Result<Self> {
        let mut rows: Vec<Value> = Vec::new();
        let (mut cut_off, mut damage) = (false, None);
        let mut lines =
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
        while let Some((number, line)) = lines.next() {
            match serde_json::from_str(&with_quoted_nan(line)) {
                Ok(row @ Value::Object(_)) => rows.push(row),
                Ok(_) => {
                    let line = number + 1;
                    damage = Some(anyhow::anyhow!("line {line}: expected an object of JSON"));
                    break;
                }
                // A program that was killed leaves half a line.
                Err(error) if error.is_eof() && lines.peek().is_none() => cut_off = true,
                Err(error) => {
                    let place = format!("line {}", number + 1);
                    damage = Some(anyhow::Error::new(error).context(place));
                    break;
                }
            }
        }
        if rows.is_empty() && damage.is_some() {
            match serde_json::from_str(&with_quoted_nan(text)) {
                Ok(Value::Array(objects)) => {
                    (rows, damage) = (objects.into_iter().filter(Value::is_object).collect(), None);
                }
                Ok(Value::Object(object)) => (rows, damage) = (vec![Value::Object(object)], None),
                _ => {}
            }
        }
        let mut names: IndexMap<String, ()> = IndexMap::new();
        let flat = |value: Value| {
            let mut row = IndexMap::new();
            flatten("", &value, &mut row);
            names.extend(row.keys().map(|name| (name.clone(), ())));
            row
        };
        let rows: Vec<IndexMap<String, Cell>> = rows.into_iter().map(flat).collect();
        let names: Vec<String> = names.into_keys().collect();
        let row = |mut row: IndexMap<String, Cell>| {
            names.iter().map(|name| row.swap_remove(name).unwrap_or(Cell::Empty)).collect()
        };
        let rows = rows.into_iter().map(row).collect();
        Ok(Self { names, rows, header: 0, cut_off, damage })
    }

    fn parquet(path: &Path) -> anyhow::Result<Self> {
        let reader = SerializedFileReader::new(std::fs::File::open(path)?)?;
        let groups = reader.metadata().row_groups();
        for column in groups.iter().flat_map(|group| group.columns()) {
            use parquet::basic::Compression::{GZIP, SNAPPY, UNCOMPRESSED, ZSTD};
            let codec = column.compression();
            anyhow::ensure!(
                matches!(codec, UNCOMPRESSED | SNAPPY | GZIP(_) | ZSTD(_)),
                "expected Parquet without compression, or with Snappy, gzip or Zstandard, found {codec:?}; write it anew"
            );
        }
        let schema = reader.metadata().file_metadata().schema();
        let names = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let mut table = Self { names, ..Self::default() };
        for row in reader.get_row_iter(None)? {
            let row = row?;
            table
                .rows
                .push(row.get_column_iter().map(|(_, field)| Cell::of_parquet(field)).collect());
        }
        Ok(table)
    }

    /// What the table tells, of trainings in the order of their first rows.
    ///
    /// # Errors
    /// Fails if it is about returns and damaged, or a field is not what its column is of.
    pub(super) fn content(mut self, path: &Path, wanted: Wanted<'_>) -> anyhow::Result<Content> {
        if self.rows.is_empty() && self.damage.is_none() {
            return Ok(Content { sources: Vec::new(), names: Vec::new() });
        }
        let damage = self.damage.take();
        let sources = match Chart::of(&self.names, path)? {
            Some(chart) => chart.trainings(&self.rows, path, wanted)?,
            None => self.trainings(path, wanted)?,
        };
        match damage {
            Some(error) if sources.is_some() || self.names.is_empty() => {
                Err(error).with_context(|| path.display().to_string())
            }
            _ => Ok(Content { sources: sources.unwrap_or_default(), names: self.names }),
        }
    }

    /// The trainings; nothing where no column is called as returns are.
    fn trainings(&self, path: &Path, wanted: Wanted<'_>) -> anyhow::Result<Option<Vec<Source>>> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let roles = Roles::of(&names, wanted);
        if !roles.has_returns() {
            return Ok(None);
        }
        let program = program(&names);
        let mut trainings: IndexMap<Labels, Source> = IndexMap::new();
        let evaluation = roles.evaluation.filter(|_| program == RLLIB);
        let mut repeats = evaluation.map(|column| Repeats::of(names[column]));
        let (mut without, mut gone_back) = (0, 0);
        // Where the first row without a seed is.
        let mut seedless = None;
        for (index, row) in self.rows.iter().enumerate() {
            let of = |column: Option<usize>| {
                let column = column?;
                let line = index + 1 + self.header;
                let place = format!("{} line {line}, column `{}`", path.display(), names[column]);
                Some((&row[column], place))
            };
            let number = |column| of(column).map_or(Ok(None), |(cell, place)| cell.number(&place));
            let count = |column, what| {
                let counted = |(cell, place): (&Cell, String)| match cell {
                    Cell::Number(number) if number.is_nan() => Ok(None),
                    cell => cell.number(&place)?.map(|n| whole(n, what, || place)).transpose(),
                };
                of(column).map_or(Ok(None), counted)
            };
            // Where no episode ended, RLlib's mean is none.
            let returns = |column| match of(column) {
                Some((Cell::Number(mean), _)) if mean.is_nan() && program == RLLIB => Ok(None),
                _ => number(column),
            };
            let word =
                |column| of(column).map(|(cell, _)| cell.to_string()).filter(|w| !w.is_empty());
            let labels = Labels {
                environment: word(roles.environment),
                agent: word(roles.agent),
                seed: count(roles.seed, "seed")?,
            };
            let training = returns(roles.training.map(|(column, _)| column))?;
            let line = names.iter().copied().zip(row);
            let repeated = repeats.as_mut().is_some_and(|repeats| repeats.is_one(line));
            let evaluation = returns(roles.evaluation)?.filter(|_| !repeated);
            if training.is_none() && evaluation.is_none() {
                without += usize::from(!repeated);
                continue;
            }
            if labels.seed.is_none() && seedless.is_none() {
                seedless = of(roles.seed).map(|(_, place)| place);
            }
            let length = count(roles.length, "length")?;
            let source = trainings.entry(labels.clone()).or_insert_with(|| Source {
                program,
                means: roles.means(),
                labels,
                ..Source::default()
            });
            let at = match count(roles.steps, "step")? {
                Some(at) => at,
                None => {
                    let before = source.episodes.last().map_or(0, |episode| episode.steps);
                    let length = length.with_context(|| {
                        format!(
                            "{} line {}: expected environment steps in a column `step`, `global_step` or `timesteps`, or \
                             a column of lengths",
                            path.display(),
                            index + 1 + self.header
                        )
                    })?;
                    before + length
                }
            };
            // A trial of Ray Tune that went on from a checkpoint writes its lines below those of before.
            if program == RLLIB
                && source.span().is_some_and(|(first, last)| first < at && at <= last)
            {
                gone_back += source.go_back_to(at);
            }
            let seconds = number(roles.seconds)?;
            if let Some(r#return) = training {
                source.episodes.push(Episode { steps: at, seconds, r#return, length });
            }
            if let Some(r#return) = evaluation {
                source.evaluate(at, r#return);
            }
        }
        if let Some(place) = seedless
            && trainings.keys().any(|labels| labels.seed.is_some())
        {
            anyhow::bail!("{place}: expected a seed, as other rows have one");
        }
        let mut trainings: Vec<Source> = trainings.into_values().collect();
        if let Some(first) = trainings.first_mut() {
            let mut note = |what: String| first.notes.push(format!("{}: {what}", path.display()));
            if without > 0 {
                note(format!("{} without a return left out", plural(without, "row")));
            }
            if gone_back > 0 {
                let returns = plural(gone_back, "return");
                note(format!("{returns} left out, as the training went on from before them"));
            }
            if self.cut_off {
                note("the last line is cut off and left out".into());
            }
            let calls = roles.steps.map(|column| names[column]).filter(|name| *name == "_step");
            let place = path.display().to_string();
            first.notes.extend(calls.map(|name| counts_calls(name, &place)));
        }
        Ok(Some(trainings))
    }
}

/// The program that repeats evaluations, and means where there are none.
const RLLIB: &str = "RLlib";

/// Who writes a table with these columns.
fn program(names: &[&str]) -> &'static str {
    let has = |name: &str| names.contains(&name);
    if has("training_iteration") {
        RLLIB
    } else if has("time/total_timesteps") {
        "Stable-Baselines3 (logger)"
    } else if has("_step") || has("_runtime") {
        "Weights & Biases"
    } else {
        "table"
    }
}

/// Adds the fields of an object and of those in it, called `OUTER/INNER`.
fn flatten(prefix: &str, value: &Value, row: &mut IndexMap<String, Cell>) {
    let Value::Object(fields) = value else {
        row.insert(prefix.to_owned(), Cell::of_json(value));
        return;
    };
    for (name, field) in fields {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        flatten(&name, field, row);
    }
}

/// A text in which `NaN` and infinities, which Python writes and JSON does not know, are in quotes.
fn with_quoted_nan(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['"', 'N', 'I']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix('"') {
            // To the closing quote, over escaped ones.
            let mut escaped = false;
            let end = inside.find(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            });
            let end = end.map_or(rest.len(), |end| end + 2);
            text.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if let Some(word) = ["NaN", "Infinity"].iter().find(|word| rest.starts_with(**word))
        {
            let sign = if text.ends_with('-') { text.pop() } else { None };
            let sign = sign.map_or(String::new(), String::from);
            text.push_str(&format!("\"{sign}{word}\""));
            rest = &rest[word.len()..];
        } else {
            text.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_numbers_become_json() {
        let line = r#"{"a": NaN, "NaN": "say \"NaN\"", "b": [-Infinity, 1], "c": Infinity}"#;
        let expected =
            r#"{"a": "NaN", "NaN": "say \"NaN\"", "b": ["-Infinity", 1], "c": "Infinity"}"#;
        assert_eq!(with_quoted_nan(line), expected);
    }

    fn trainings(text: &str) -> anyhow::Result<Vec<Source>> {
        let content = Table::csv(text)?.content(Path::new("t.csv"), Wanted::default())?;
        Ok(content.sources)
    }

    #[test]
    fn a_table_holds_several_trainings() {
        let read = trainings("seed,step,return\n0,10,1.5\n1,10,2\n0,20,3\n").expect("a table");
        let of = |source: &Source| {
            let points = source.episodes.iter().map(|episode| (episode.steps, episode.r#return));
            (source.labels.seed, points.collect::<Vec<_>>())
        };
        let expected = [(Some(0), vec![(10, 1.5), (20, 3.0)]), (Some(1), vec![(10, 2.0)])];
        assert_eq!(read.iter().map(of).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn wrong_fields_say_where() {
        for (text, expected) in [
            (
                "seed,step,return\n0,ten,1\n",
                "t.csv line 2, column `step`: expected a number, found `ten`",
            ),
            (
                "seed,step,return\n0,10,inf\n",
                "t.csv line 2, column `return`: expected a finite number",
            ),
            (
                "seed,step,return\n0,10,1\n0,-1,1\n",
                "t.csv line 3, column `step`: expected a whole number as step",
            ),
            ("seed,return\n0,1\n", "t.csv line 2: expected environment steps in a column"),
            (
                "seed,step,return\n0,10,1\n0,20,nan\n",
                "t.csv line 3, column `return`: expected a number, found NaN; leave it empty",
            ),
            ("seed,step,return\n0,10,1e308\n", "between -1e150 and 1e150, found 1e308"),
            ("seed,step,return\n0.5,10,1\n", "column `seed`: expected a whole number as seed"),
            ("step,return\n1\n2,3\n", "t.csv: line 2: expected 2 fields"),
            ("seed,step,return\n0,10,1\n,10,1\n", "t.csv line 3, column `seed`: expected a seed"),
        ] {
            let error = format!("{:#}", trainings(text).expect_err(text));
            assert!(error.contains(expected), "{error}");
        }
        // What is not about returns need not be whole.
        assert!(trainings("a,b\n1\n2,3\n").expect("no returns").is_empty());
    }
}
