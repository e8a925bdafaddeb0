//! Tables: CSV, lines of JSON and Parquet, with whatever columns a person, Weights & Biases, RLlib or Stable-Baselines3's
//! logger writes. A row is an episode, a mean over several or an evaluation; a table may hold many trainings.

use std::path::Path;

use anyhow::Context as _;
use indexmap::IndexMap;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use super::roles::{Returns, Roles};
use crate::env::input;
use crate::import::layout::{Labels, Layout};
use crate::import::training::{Episode, EvaluationPoint, Source, finite, steps};

/// What tables are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
    Parquet,
}

/// A field of a row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Empty,
    Number(f64),
    Text(String),
}

impl Cell {
    fn of_text(text: &str) -> Self {
        let text = text.trim();
        match text.parse::<f64>() {
            Ok(number) if number.is_nan() => Self::Empty,
            Ok(number) => Self::Number(number),
            Err(_) if text.is_empty() || text == "null" || text == "None" => Self::Empty,
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    fn of_json(value: &Value) -> Self {
        match value {
            Value::Number(number) => number.as_f64().map_or(Self::Empty, Self::Number),
            Value::String(text) => Self::of_text(text),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => Self::Empty,
        }
    }

    fn of_parquet(field: &Field) -> Self {
        let number = match field {
            Field::Byte(n) => f64::from(*n),
            Field::Short(n) => f64::from(*n),
            Field::Int(n) => f64::from(*n),
            Field::Long(n) => *n as f64,
            Field::UByte(n) => f64::from(*n),
            Field::UShort(n) => f64::from(*n),
            Field::UInt(n) => f64::from(*n),
            Field::ULong(n) => *n as f64,
            Field::Float16(n) => f64::from(n.to_f32()),
            Field::Float(n) => f64::from(*n),
            Field::Double(n) => *n,
            Field::Str(text) => return Self::of_text(text),
            _ => return Self::Empty,
        };
        if number.is_nan() { Self::Empty } else { Self::Number(number) }
    }
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
        let table = whole.with_context(|| format!("{}", path.display()))?;
        anyhow::ensure!(!table.rows.is_empty(), "{}: it has no rows", path.display());
        Ok(table)
    }

    fn csv(text: &str) -> anyhow::Result<Self> {
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
                anyhow::ensure!(
                    table.cut_off,
                    "line {line}: expected {} fields, as the header has, found {}",
                    table.names.len(),
                    record.len()
                );
                break;
            }
            table.rows.push(record.iter().map(Cell::of_text).collect());
        }
        Ok(table)
    }

    fn json_lines(text: &str) -> anyhow::Result<Self> {
        let mut names: IndexMap<String, ()> = IndexMap::new();
        let mut rows: Vec<IndexMap<String, Cell>> = Vec::new();
        let mut cut_off = false;
        let mut lines =
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
        while let Some((number, line)) = lines.next() {
            let value: Value = match serde_json::from_str(&without_nan(line)) {
                Ok(value) => value,
                // A program that was killed leaves half a line.
                Err(error) if error.is_eof() && lines.peek().is_none() => {
                    cut_off = true;
                    break;
                }
                Err(error) => return Err(error).with_context(|| format!("line {}", number + 1)),
            };
            let Value::Object(_) = value else {
                anyhow::bail!("line {}: expected an object of JSON", number + 1);
            };
            let mut row = IndexMap::new();
            flatten("", &value, &mut row);
            names.extend(row.keys().map(|name| (name.clone(), ())));
            rows.push(row);
        }
        let names: Vec<String> = names.into_keys().collect();
        let row = |mut row: IndexMap<String, Cell>| {
            names.iter().map(|name| row.swap_remove(name).unwrap_or(Cell::Empty)).collect()
        };
        let rows = rows.into_iter().map(row).collect();
        Ok(Self { names, rows, header: 0, cut_off })
    }

    fn parquet(path: &Path) -> anyhow::Result<Self> {
        let reader = SerializedFileReader::new(std::fs::File::open(path)?)?;
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

    /// The trainings of the table, in the order of their first rows; none where no column is called as returns are.
    ///
    /// # Errors
    /// Fails if a field is not what its column is of.
    pub(super) fn trainings(
        &self,
        path: &Path,
        scalar: Option<&str>,
        as_evaluations: bool,
    ) -> anyhow::Result<Vec<Source>> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if let Some(runs) = self.chart(path, as_evaluations)? {
            return Ok(runs);
        }
        let roles = Roles::of(&names, scalar, as_evaluations);
        if !roles.has_returns() {
            return Ok(Vec::new());
        }
        let mut trainings: IndexMap<Labels, Source> = IndexMap::new();
        let mut without = 0;
        for (index, row) in self.rows.iter().enumerate() {
            let place =
                |what: &str| format!("{} line {}, {what}", path.display(), index + 1 + self.header);
            let number =
                |column: Option<usize>| match column.map(|column| (&row[column], names[column])) {
                    None | Some((Cell::Empty, _)) => Ok(None),
                    Some((Cell::Number(value), name)) => {
                        finite(*value, "number", || place(&format!("column `{name}`"))).map(Some)
                    }
                    Some((Cell::Text(text), name)) => {
                        let place = place(&format!("column `{name}`"));
                        let text = crate::format::shorten(text, 40);
                        Err(anyhow::anyhow!("{place}: expected a number, found `{text}`"))
                    }
                };
            let word = |column: Option<usize>| match column.map(|column| &row[column]) {
                None | Some(Cell::Empty) => None,
                Some(Cell::Text(text)) => Some(text.clone()),
                Some(Cell::Number(number)) => Some(number.to_string()),
            };
            let whole =
                |column| number(column)?.map(|n| steps(n, || place("column `seed`"))).transpose();
            let labels = Labels {
                environment: word(roles.environment),
                agent: word(roles.agent),
                seed: whole(roles.seed)?,
            };
            let training = number(roles.training.map(|(column, _)| column))?;
            let evaluation = number(roles.evaluation)?;
            if training.is_none() && evaluation.is_none() {
                without += 1;
                continue;
            }
            let length =
                number(roles.length)?.map(|n| steps(n, || place("the length"))).transpose()?;
            let source = trainings.entry(labels.clone()).or_insert_with(|| Source {
                program: program(&names),
                means: roles.training.is_some_and(|(_, kind)| kind == Returns::Means),
                labels,
                ..Source::default()
            });
            let at = match number(roles.steps)? {
                Some(at) => steps(at, || place("the steps"))?,
                None => {
                    let before = source.episodes.last().map_or(0, |episode| episode.steps);
                    let length = length.with_context(|| {
                        format!(
                            "{}: expected a column of environment steps (`step`, `global_step`, `timesteps`) or of lengths",
                            place("the steps")
                        )
                    })?;
                    before + length
                }
            };
            let seconds = number(roles.seconds)?;
            if let Some(r#return) = training {
                source.episodes.push(Episode { steps: at, seconds, r#return, length });
            }
            if let Some(r#return) = evaluation {
                source.evaluate(at, r#return);
            }
        }
        let mut trainings: Vec<Source> = trainings.into_values().collect();
        if let Some(first) = trainings.first_mut() {
            if without > 0 {
                let rows = crate::format::plural(without, "row");
                first.notes.push(format!("{}: {rows} without a return left out", path.display()));
            }
            first.notes.extend(
                self.cut_off
                    .then(|| format!("{}: the last line is cut off and left out", path.display())),
            );
        }
        Ok(trainings)
    }

    /// The trainings of what Weights & Biases exports of a chart: a column of steps, and for each run one called
    /// `RUN - METRIC`, with its least and greatest values beside it.
    fn chart(&self, path: &Path, as_evaluations: bool) -> anyhow::Result<Option<Vec<Source>>> {
        let Some((first, runs)) = self.names.split_first() else { return Ok(None) };
        let is_run = |name: &&String| name.contains(" - ");
        let is_chart = ["Step", "global_step"].contains(&first.as_str()) && !runs.is_empty();
        if !is_chart || !runs.iter().all(|name| is_run(&name)) {
            return Ok(None);
        }
        let mut trainings = Vec::new();
        for (column, name) in self.names.iter().enumerate().skip(1) {
            let Some((run, metric)) = name.rsplit_once(" - ") else { continue };
            if metric.ends_with("__MIN") || metric.ends_with("__MAX") {
                continue;
            }
            let roles = Roles::of(&[metric], Some(metric), as_evaluations);
            let labels = Layout::Known.labels(&format!("{run}/chart")).unwrap_or_default();
            let agent = labels.agent.or_else(|| labels.seed.is_none().then(|| run.to_owned()));
            let mut source = Source {
                program: "Weights & Biases",
                labels: Labels { agent, ..labels },
                means: roles.training.is_some_and(|(_, kind)| kind == Returns::Means),
                ..Source::default()
            };
            for (index, row) in self.rows.iter().enumerate() {
                let place = || format!("{} line {}", path.display(), index + 1 + self.header);
                let (Cell::Number(step), Cell::Number(value)) = (&row[0], &row[column]) else {
                    continue;
                };
                let at = steps(*step, place)?;
                let r#return = finite(*value, "return", place)?;
                if as_evaluations {
                    source.evaluate(at, r#return);
                } else {
                    source.episodes.push(Episode {
                        steps: at,
                        seconds: None,
                        r#return,
                        length: None,
                    });
                }
            }
            trainings.push(source);
        }
        Ok(Some(trainings))
    }
}

impl Source {
    /// Adds an episode of the evaluation after so many steps.
    fn evaluate(&mut self, steps: u64, r#return: f64) {
        match self.evaluations.last_mut() {
            Some(last) if last.steps == steps => last.returns.push(r#return),
            _ => {
                let (returns, lengths) = (vec![r#return], Vec::new());
                self.evaluations.push(EvaluationPoint { steps, returns, lengths });
            }
        }
    }
}

/// Who writes a table with these columns.
fn program(names: &[&str]) -> &'static str {
    let has = |name: &str| names.contains(&name);
    if has("training_iteration") {
        "RLlib"
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

/// A line in which `NaN` and infinities, which Python writes and JSON does not know, are null. A return that is infinite
/// would be left out like one that is missing.
fn without_nan(line: &str) -> String {
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
        } else if let Some(after) =
            rest.strip_prefix("NaN").or_else(|| rest.strip_prefix("Infinity"))
        {
            if text.ends_with('-') {
                text.pop();
            }
            text.push_str("null");
            rest = after;
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
        let expected = r#"{"a": null, "NaN": "say \"NaN\"", "b": [null, 1], "c": null}"#;
        assert_eq!(without_nan(line), expected);
    }

    fn trainings(text: &str) -> anyhow::Result<Vec<Source>> {
        Table::csv(text)?.trainings(Path::new("t.csv"), None, false)
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
                "t.csv line 3, the steps: expected a whole number",
            ),
            ("seed,return\n0,1\n", "expected a column of environment steps"),
        ] {
            let error = trainings(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = Table::csv("a,b\n1\n2,3\n").expect_err("a short row").to_string();
        assert!(error.contains("line 2: expected 2 fields"), "{error}");
    }

    #[test]
    fn a_chart_of_weights_and_biases_has_a_run_in_each_column() {
        let text = "Step,CartPole-v1__ppo__3__17 - charts/episodic_return,\
                    CartPole-v1__ppo__3__17 - charts/episodic_return__MIN\n10,21,20\n20,,\n";
        let read = trainings(text).expect("a chart");
        let [only] = &read[..] else { panic!("one run") };
        assert_eq!((only.labels.seed, only.labels.agent.as_deref()), (Some(3), Some("ppo")));
        assert_eq!(only.episodes.len(), 1);
    }
}
