//! Paths into JSON, as people write and read them: names joined by dots, in quotes where a name has a dot itself.

/// The parts joined by dots, so that [`parse`] reads them back. A name that is no plain word is quoted as a JSON
/// string.
pub fn join<S: AsRef<str>>(parts: &[S]) -> String {
    parts.iter().map(|part| quoted(part.as_ref())).collect::<Vec<_>>().join(".")
}

fn quoted(part: &str) -> String {
    let special = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '.' | '=' | '"');
    if part.is_empty() || part.contains(special) {
        serde_json::Value::from(part).to_string()
    } else {
        part.to_owned()
    }
}

/// The parts of a path, and what follows it: nothing, or an `=` and more.
///
/// # Errors
/// Fails if a part is empty or a quote does not end.
pub fn parse(path: &str) -> Result<(Vec<String>, &str), String> {
    let mut parts = Vec::new();
    let mut rest = path;
    loop {
        let end = if rest.starts_with('"') {
            let mut names = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            let name = names.next().and_then(Result::ok);
            parts.push(name.ok_or("expected a quoted name that ends with a quote")?);
            names.byte_offset()
        } else {
            let end = rest.find(['.', '=']).unwrap_or(rest.len());
            if end == 0 {
                return Err("expected a path of names joined by dots".into());
            }
            parts.push(rest[..end].to_owned());
            end
        };
        rest = &rest[end..];
        if rest.is_empty() || rest.starts_with('=') {
            return Ok((parts, rest));
        }
        rest = rest.strip_prefix('.').ok_or("expected a dot after a quoted name")?;
    }
}

#[cfg(test)]
mod tests {
    use super::{join, parse};

    #[test]
    fn what_is_written_reads_back() {
        for parts in [
            vec!["agents", "ppo", "policy"],
            vec!["agents", "ppo-0.1", "policy", "hidden", "0"],
            vec!["a \"b\"", "c=d", "", "\u{1b}[2J", "ä"],
        ] {
            let path = join(&parts);
            assert_eq!(parse(&path), Ok((parts.iter().map(ToString::to_string).collect(), "")));
            let with_value = format!("{path}=1=2.\"");
            assert_eq!(parse(&with_value).expect("the same path").1, "=1=2.\"");
            assert!(!path.contains(char::is_control), "{path:?}");
        }
        assert_eq!(join(&["agents", "ppo-0.1", "policy"]), "agents.\"ppo-0.1\".policy");
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in ["", "=1", "a..b", "a.", ".a", "\"a", "\"a\"b", "a.\"b\\\""] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
