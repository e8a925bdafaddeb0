//! The only module that prints: results to standard output, messages to standard error.
//!
//! `println!` and `eprintln!` panic when a reader went away (`| head -1`), a terminal was closed or a disk is full, in
//! the middle of a training too; clippy refuses them everywhere else. What a name from a file may hold cannot move the
//! cursor or colour the terminal: control characters are shown as escapes.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};

use crate::env::names;

/// Prints a result, with a line end where `text` has none. A reader that went away has seen enough: this is no error,
/// so that the exit code stays the command's own.
///
/// # Errors
/// Fails if standard output cannot be written, for example on a full disk.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let text = text.to_string();
    let text = printable(text.strip_suffix('\n').unwrap_or(&text));
    let mut out = Output::new();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Standard output for what is printed as it comes, line after line. It tells of a reader that went away
/// ([`io::ErrorKind::BrokenPipe`]), so that nobody works for nobody.
pub struct Output(BufWriter<StdoutLock<'static>>);

/// Says where what an I/O error tells happened.
pub(crate) fn at_output(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write to standard output: {error}"))
}

impl Output {
    /// Standard output, locked and buffered.
    #[expect(clippy::new_without_default, reason = "it takes a lock")]
    pub fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(at_output)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(at_output)
    }
}

/// Prints a message to standard error. One that cannot be printed is lost: nothing waits for it.
pub fn message(text: impl Display) {
    let text = text.to_string();
    let _ = writeln!(io::stderr(), "{}", brief(&text));
}

/// How a piece of a message stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// What went well.
    Good,
    /// What is neither.
    Mixed,
    /// What went wrong.
    Bad,
    /// What to read first.
    Strong,
    /// What to read last.
    Faint,
}

impl Tone {
    /// `text`, [`printable`], in its colour where standard error is a terminal that has colours and nobody refuses them
    /// (`NO_COLOR`, `TERM=dumb`).
    pub fn paint(self, text: &str) -> String {
        let style = ::console::Style::new().for_stderr();
        let style = match self {
            Self::Good => style.green(),
            Self::Mixed => style.yellow(),
            Self::Bad => style.red(),
            Self::Strong => style.bold(),
            Self::Faint => style.dim(),
        };
        style.apply_to(printable(text)).to_string()
    }
}

/// Prints a message with [`Tone`]s to standard error; the rest of it has to be [`printable`].
pub fn styled(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// `text` as a message shows it: [`printable`], and cut in the middle where what a file holds made it long.
pub fn brief(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 3500;
    let text = printable(text);
    if text.len() <= LONGEST {
        return text;
    }
    let boundary =
        |near: usize| (0..=near).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let (head, tail) = (boundary(LONGEST / 2), boundary(text.len() - LONGEST / 2));
    Cow::Owned(format!("{} […] {}", &text[..head], &text[tail..]))
}

/// `text` with the characters that mislead, line ends and tabs aside, as escapes.
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |character: char| names::misleads(character) && !matches!(character, '\n' | '\t');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        // CSV ends its lines with both.
        let line_end = character == '\r' && characters.peek() == Some(&'\n');
        match harmful(character) && !line_end {
            true => escaped.extend(character.escape_default()),
            false => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_escapes() {
        assert_eq!(printable("a\tb\r\nmüde"), "a\tb\r\nmüde");
        assert_eq!(printable("\u{1b}[31mred\u{7}\r\u{9b}1m"), "\\u{1b}[31mred\\u{7}\\r\\u{9b}1m");
    }
    #[test]
    fn long_messages_are_cut_in_the_middle() {
        let long =
            brief(&format!("file.json: {} in `name`", "ä\u{7}".repeat(1_000_000))).into_owned();
        assert!(long.len() < 4096, "{}", long.len());
        assert!(long.starts_with("file.json: ä") && long.ends_with("in `name`"), "{long}");
    }
}
