//! Nearest known names for misspelt ones.

/// The known name that `name` most likely stands for, `None` where none is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.7;
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Whether a character moves a terminal's cursor or turns the direction of writing, so that a line looks like another one.
pub fn misleads(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text as a message quotes it: cut where it is long, without characters that mislead.
pub fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    let plain = |c: char| if misleads(c) { c.escape_default().to_string() } else { c.to_string() };
    let mut shown: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// "unknown key `x`", with the nearest known name or, failing that, all of them.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let name = short(name);
    match nearest(&name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{name}`; did you mean `{}`?", short(near)),
        None => format!("unknown {what} `{name}`; expected one of {}", list(known)),
    }
}

/// Names separated by commas, as many of them as a message holds.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 30;
    let mut shown: Vec<_> = names.iter().take(MOST).map(|name| short(name.as_ref())).collect();
    if names.len() > MOST {
        shown.push(format!("{} more", names.len() - MOST));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_misspelt_names_and_no_strangers() {
        let known = ["CartPole-v1", "Pendulum-v1"];
        assert_eq!(nearest("cartpole-v1", known), Some("CartPole-v1"));
        assert_eq!(nearest("CartPole", known), Some("CartPole-v1"));
        assert_eq!(nearest("xyz", known), None);
    }
}
