//! What is wrong with an experiment, and where.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use jsonc_parser::ast::{ObjectProp, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::env::Problem;

/// An experiment file that cannot be run, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentError {
    file: PathBuf,
    problems: Vec<(Option<Position>, Problem)>,
}

/// Line and column, counted from 1; columns count characters.
type Position = (usize, usize);

impl ExperimentError {
    /// Finds `problems` in the text of `file`. Fields that are not in the text (defaults, overrides) are
    /// placed at the nearest object around them.
    pub fn locate(file: &Path, text: &str, problems: Vec<Problem>) -> Self {
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            ..ParseOptions::default()
        };
        let tree = parse_to_ast(text, &CollectOptions::default(), &strict).ok();
        let root = tree.as_ref().and_then(|tree| tree.value.as_ref());
        let mut problems: Vec<_> = problems
            .into_iter()
            .map(|problem| {
                let offset = root.map(|root| offset(root, &problem.path));
                (offset.map(|offset| position(text, offset)), problem)
            })
            .collect();
        problems.sort_by_key(|(position, _)| *position);
        Self { file: file.to_owned(), problems }
    }

    /// A file that is not JSON at all.
    pub fn syntax(file: &Path, error: &serde_json::Error) -> Self {
        let message = error.to_string();
        let fragment = message.split(" at line ").next().unwrap_or(&message).to_owned();
        let problem = Problem { path: Vec::new(), message: format!("not valid JSON: {fragment}") };
        let position = (error.line().max(1), error.column().max(1));
        Self { file: file.to_owned(), problems: vec![(Some(position), problem)] }
    }
}

impl fmt::Display for ExperimentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bytes; more than anyone mends at a time.
        const ENOUGH: usize = 2_000;
        let mut text = String::new();
        for (index, (position, problem)) in self.problems.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            if text.len() > ENOUGH {
                write!(text, "and {} problems more", self.problems.len() - index)?;
                break;
            }
            write!(text, "{}", self.file.display())?;
            if let Some((line, column)) = position {
                write!(text, ":{line}:{column}")?;
            }
            write!(text, ": {problem}")?;
        }
        f.write_str(&text)
    }
}

impl std::error::Error for ExperimentError {}

/// Every key that an object repeats: JSON parsers keep one of them in silence.
pub fn repeated_keys(text: &str) -> Vec<Problem> {
    let tree = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let mut problems = Vec::new();
    if let Ok(Some(root)) = tree.as_ref().map(|tree| tree.value.as_ref()) {
        walk(root, &mut Vec::new(), &mut problems);
    }
    problems
}

fn walk(value: &Value<'_>, path: &mut Vec<String>, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(object) => {
            for (index, property) in object.properties.iter().enumerate() {
                path.push(property.name.as_str().to_owned());
                let same = |other: &ObjectProp<'_>| other.name.as_str() == property.name.as_str();
                if object.properties[..index].iter().any(same) {
                    problems.push(Problem::new(path, "this key is written twice; keep one"));
                }
                walk(&property.value, path, problems);
                path.pop();
            }
        }
        Value::Array(array) => {
            for (index, element) in array.elements.iter().enumerate() {
                path.push(index.to_string());
                walk(element, path, problems);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Where the value at `path` starts, or the deepest value on the way to it. A key stands for its value
/// where the value is what is missing or unknown.
fn offset(root: &Value<'_>, path: &[String]) -> usize {
    let mut here = root;
    for part in path {
        let next = match here {
            Value::Object(object) => {
                // The last one counts, as in serde_json.
                object.properties.iter().rev().find(|p| p.name.as_str() == part).map(|p| &p.value)
            }
            Value::Array(array) => part.parse().ok().and_then(|i: usize| array.elements.get(i)),
            _ => None,
        };
        match next {
            Some(value) => here = value,
            None => break,
        }
    }
    here.start()
}

fn position(text: &str, offset: usize) -> Position {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
