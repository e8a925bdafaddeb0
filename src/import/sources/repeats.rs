//! RLlib's result lines repeat the last evaluation until there is a new one.

use std::fmt::Display;

/// Tells evaluations from repeated ones, in the order of a file.
#[derive(Debug)]
pub(super) struct Repeats<'n> {
    /// What the names of an evaluation's numbers begin with.
    prefix: &'n str,
    last: Option<String>,
}

impl<'n> Repeats<'n> {
    /// For evaluations whose return is called so: the numbers beside it are of the same episodes.
    pub(super) fn of(name: &'n str) -> Self {
        let prefix = name.rfind('/').map_or(name, |slash| &name[..=slash]);
        Self { prefix, last: None }
    }

    /// Whether a line with these numbers, by their names, has the evaluation of the line before. Its timings are repeated too, so
    /// that new evaluations with the same returns differ; what is counted over the training's life is brought up later.
    pub(super) fn is_one<'a, V: Display>(
        &mut self,
        line: impl Iterator<Item = (&'a str, V)>,
    ) -> bool {
        let of_evaluation =
            |name: &str| name.starts_with(self.prefix) && !name.contains("lifetime");
        let own = line.filter(|(name, _)| of_evaluation(name));
        let own = own.map(|(name, value)| format!("{name} {value}\n")).collect();
        let before = self.last.replace(own);
        before == self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_repeats_an_evaluation_is_none() {
        let (mean, time, life, workers) = (
            "evaluation/env_runners/episode_return_mean",
            "evaluation/env_runners/sample",
            "evaluation/env_runners/num_episodes_lifetime",
            "evaluation/num_healthy_workers",
        );
        let mut repeats = Repeats::of(mean);
        let mut is_one = |line: &[(&'static str, f64)]| repeats.is_one(line.iter().copied());
        assert!(!is_one(&[(mean, 500.0), (time, 0.1), (life, 5.0), (workers, 0.0)]));
        assert!(is_one(&[(mean, 500.0), (time, 0.1), (life, 10.0)]));
        assert!(!is_one(&[(mean, 500.0), (time, 0.2), (life, 10.0)]));
    }
}
