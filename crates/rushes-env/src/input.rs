//! Text and numbers as people and other programs write them.

use std::io;
use std::path::Path;

use serde_json::{Number, Value};

/// Reads a text file. A byte-order mark at its start, which editors on Windows write, is no part of the text.
///
/// # Errors
/// Fails if the file cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = fs_err::read(path)?;
    let refuse = |what: &str| {
        let message = format!("{} is not UTF-8 text{what}: save it as UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(refuse(" but UTF-16"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse(""))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Numbers without a fraction become whole numbers, as JSON Schema and most programs take them: `1000.0` and `1e3`
/// are 1000. Those from 2⁵³ on stay as they are, since nobody can tell which number was meant.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(exact) {
                *value = whole.into();
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn exact(number: f64) -> Option<Number> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let whole = number.fract() == 0.0 && number.abs() < LIMIT;
    // Zero keeps its sign.
    (whole && !(number == 0.0 && number.is_sign_negative())).then(|| Number::from(number as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn only_exact_whole_numbers_change() {
        let mut value: Value = serde_json::from_str(
            "[1000.0, 1e3, -2.0, 0.5, -0.0, 1e15, 1e16, {\"a\": 1E2}, \"1.0\"]",
        )
        .expect("valid JSON");
        super::whole_numbers(&mut value);
        let expected = json!([1000, 1000, -2, 0.5, -0.0, 1_000_000_000_000_000_i64, 1e16, { "a": 100 }, "1.0"]);
        assert_eq!(value, expected);
    }
}
