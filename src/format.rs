//! Numbers and words as people read them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::Path;

/// A number to about four significant digits: `1,234`, `487`, `41.3`, `0.0123`, `1.2e-7`, `−5`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return if value.is_nan() { "NaN".into() } else { format!("{}∞", sign(value)) };
    }
    let text = match size {
        0.0 => "0".into(),
        _ if !(1e-4..1e9).contains(&size) => {
            let (digits, exponent) = split_exponent(format!("{size:.2e}"));
            format!("{}e{exponent}", trim(digits))
        }
        _ if size >= 1000.0 => grouped(size.round() as u64),
        _ if size >= 100.0 => trim(format!("{size:.1}")),
        _ if size >= 10.0 => trim(format!("{size:.2}")),
        _ if size >= 1.0 => trim(format!("{size:.3}")),
        _ => trim(format!("{size:.4}")),
    };
    format!("{}{text}", sign(value))
}

/// A number to a fixed number of decimals, for columns that should line up.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return number(value);
    }
    let text = format!("{:.decimals$}", value.abs());
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    format!("{}{text}", if zero { "" } else { sign(value) })
}

/// How many decimals a column of returns needs: fewer the further they are spread.
pub fn decimals(values: impl IntoIterator<Item = f64>) -> usize {
    let largest =
        values.into_iter().filter(|v| v.is_finite()).fold(0.0, |a: f64, b| a.max(b.abs()));
    match largest {
        _ if largest >= 1000.0 => 0,
        _ if largest >= 10.0 => 1,
        _ => 3,
    }
}

/// A tick on an axis that goes to `max`, all of them in one unit: `5k`, `20k`; `1.5M`; `0.25`.
pub fn tick(value: f64, max: f64) -> String {
    match max.abs() {
        _ if value.abs() < 1e-9 * max.abs() => "0".into(),
        size if size >= 2e6 => format!("{}M", number(value / 1e6)),
        size if size >= 1e4 => format!("{}k", number(value / 1e3)),
        _ => number(value),
    }
}

/// A whole number in groups of three: `12,345`.
pub fn count(value: u64) -> String {
    grouped(value)
}

/// A duration: `0.42 s`, `12 s`, `3 min 05 s`, `2 h 10 min`.
pub fn seconds(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return number(value);
    }
    let whole = value.round() as u64;
    match whole {
        _ if value < 10.0 => format!("{} s", trim(format!("{value:.2}"))),
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number of bytes: `213 MB`.
pub fn bytes(value: u64) -> String {
    let megabytes = value as f64 / 1e6;
    if megabytes < 1.0 {
        format!("{} kB", number((value as f64 / 1e3).round()))
    } else {
        format!("{} MB", number(megabytes.round()))
    }
}

/// A note, which begins small and has no full stop, as a sentence.
pub fn sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

/// `3 trials`, `1 trial`.
pub fn plural(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", grouped(n as u64)) }
}

/// Rows of cells as lines in which columns begin below one another, two spaces apart.
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A path as it stands in a URL: all but what RFC 3986 calls unreserved is encoded, the slashes between the parts stay.
pub fn url_path(path: &str) -> String {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(path, ENCODED).to_string()
}

/// The first `most` characters, with an ellipsis where some are missing.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Text in which `instead` stands for the characters that it knows.
pub fn escaped(text: &str, instead: impl Fn(char) -> Option<&'static str>) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match instead(character) {
            Some(written) => escaped.push_str(written),
            None => escaped.push(character),
        }
    }
    escaped
}

/// Text as HTML and SVG want it, in content and in attributes.
pub fn escape(text: &str) -> String {
    escaped(text, |character| {
        Some(match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            _ => return None,
        })
    })
}

/// Text that Markdown and HTML leave as it is.
pub fn markdown(text: &str) -> String {
    escaped(text, |character| {
        Some(match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            // A name such as `@team` would call people.
            '@' => "&#64;",
            '\n' | '\r' => " ",
            '\\' => r"\\",
            '`' => r"\`",
            '*' => r"\*",
            '_' => r"\_",
            '[' => r"\[",
            ']' => r"\]",
            '|' => r"\|",
            '#' => r"\#",
            '~' => r"\~",
            _ => return None,
        })
    })
}

fn sign(value: f64) -> &'static str {
    if value < 0.0 { "−" } else { "" }
}

fn trim(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn split_exponent(text: String) -> (String, String) {
    match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent.to_owned()),
        None => (text, "0".into()),
    }
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A command line that a shell takes apart into these words.
pub fn shell_line<W: AsRef<str>>(words: &[W]) -> String {
    let quoter = shlex::Quoter::new().allow_nul(true);
    quoter.join(words.iter().map(AsRef::as_ref)).expect("nothing but NUL is refused")
}

/// [`shell_line`] in a folder.
pub fn shell_line_in<W: AsRef<str>>(directory: Option<&Path>, words: &[W]) -> String {
    in_folder(directory, shell_line(words))
}

/// A command line that a shell runs in a folder.
pub fn in_folder(directory: Option<&Path>, line: String) -> String {
    match directory {
        Some(directory) => format!("cd {} && {line}", shell_line(&[directory.to_string_lossy()])),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for words in [&["--set=a.b=1", "it's", ""][..], &["--resume=/a b/$c/ä", "\n\"`\\!*"]] {
            let line = shell_line(words);
            let shell = std::process::Command::new("sh")
                .args(["-c", &format!("printf '%s\\0' {line}")])
                .output()
                .expect("there is a shell");
            let read = String::from_utf8(shell.stdout).expect("text");
            assert_eq!(read.split_terminator('\0').collect::<Vec<_>>(), words, "{line}");
        }
    }

    #[test]
    fn numbers_are_short_and_exact_enough() {
        let cases = [
            (0.0, "0"),
            (-5.0, "−5"),
            (487.04, "487"),
            (41.254, "41.25"),
            (1234.5, "1,235"),
            (0.0123, "0.0123"),
            (1.234e-7, "1.23e-7"),
            (1e12, "1e12"),
            (f64::NEG_INFINITY, "−∞"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn ticks_durations_counts_and_lists_become_short_text() {
        assert_eq!([tick(5000.0, 3e4), tick(1.5e6, 3e6), tick(0.25, 1.0)], ["5k", "1.5M", "0.25"]);
        assert_eq!(
            [seconds(0.42), seconds(65.0), seconds(185.0)],
            ["0.42 s", "65 s", "3 min 05 s"]
        );
        assert_eq!([count(999), count(1000), count(1_234_567)], ["999", "1,000", "1,234,567"]);
        assert_eq!(fixed(-0.04, 1), "0.0");
        assert_eq!([plural(1, "trial"), plural(2, "trial")], ["1 trial", "2 trials"]);
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!(shorten("reinforce", 5), "rein…");
    }
}
