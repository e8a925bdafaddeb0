//! A field of a table, of whatever format.

use parquet::record::Field;
use serde_json::Value;

use crate::format::shorten;
use crate::import::training::finite;

/// A field of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Empty,
    Number(f64),
    Text(String),
}

impl Cell {
    /// What a text of CSV is.
    pub(super) fn of_text(text: &str) -> Self {
        let text = text.trim();
        match text.parse::<f64>() {
            Ok(number) => Self::Number(number),
            Err(_) if text.is_empty() || text == "null" || text == "None" => Self::Empty,
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    /// What a value of JSON is; lists and flags are nothing.
    pub(super) fn of_json(value: &Value) -> Self {
        match value {
            Value::Number(number) => number.as_f64().map_or(Self::Empty, Self::Number),
            Value::String(text) => Self::of_text(text),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => Self::Empty,
        }
    }

    /// What a field of Parquet is; lists and flags are nothing.
    pub(super) fn of_parquet(field: &Field) -> Self {
        Self::Number(match field {
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
        })
    }

    /// Its number; nothing where it is empty.
    ///
    /// # Errors
    /// Fails if it is a word, or a number that cannot be computed with.
    pub(super) fn number(&self, place: &str) -> anyhow::Result<Option<f64>> {
        match self {
            Self::Empty => Ok(None),
            Self::Number(value) => {
                anyhow::ensure!(
                    !value.is_nan(),
                    "{place}: expected a number, found NaN; leave it empty where nothing was measured"
                );
                finite(*value, "value", || place.to_owned()).map(Some)
            }
            Self::Text(text) => {
                anyhow::bail!("{place}: expected a number, found `{}`", shorten(text, 40))
            }
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}
