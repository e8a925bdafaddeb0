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

/// "unknown key `x`", with the nearest known name or, failing that, all of them.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{name}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`; expected one of {}", known.join(", ")),
    }
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
