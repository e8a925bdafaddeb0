//! Which training a file belongs to, told by its path: by a pattern that the user gives, else by the layouts that
//! programs use of themselves.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::Context as _;
use regex::{Captures, Regex};

/// What is known of the training that a file is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Labels {
    /// The environment's id.
    pub(super) environment: Option<String>,
    /// The agent's name.
    pub(super) agent: Option<String>,
    /// The training's seed, or the number that its program gave it.
    pub(super) seed: Option<u64>,
}

impl Labels {
    /// These, and where they tell nothing, `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            environment: self.environment.or(others.environment),
            agent: self.agent.or(others.agent),
            seed: self.seed.or(others.seed),
        }
    }

    fn of(captures: &Captures<'_>) -> Self {
        let part = |name| captures.name(name).map(|part| part.as_str().to_owned());
        Self {
            environment: part("environment"),
            agent: part("agent"),
            seed: part("seed").and_then(|seed| seed.parse().ok()),
        }
    }
}

/// How paths tell trainings.
#[derive(Debug)]
pub(super) enum Layout {
    /// By this pattern. A file that it does not fit belongs to none.
    Pattern(Regex),
    /// By the names that programs give their folders.
    Known,
}

impl Layout {
    /// Splits what the user named into the folder or file to look in and how paths below it tell trainings:
    /// `logs/{agent}/{seed}` is the folder `logs` with a pattern. `*` stands for anything within a name, `**` for any
    /// folders; what follows the pattern's end is free.
    ///
    /// # Errors
    /// Fails if the pattern does not name `{seed}`, or names something else.
    pub(super) fn parse(written: &str) -> anyhow::Result<(&Path, Self)> {
        let Some(first) = written.find(['{', '*']) else {
            return Ok((Path::new(written), Self::Known));
        };
        let root = written[..first].rfind('/').map_or(0, |slash| slash + 1);
        let (root, pattern) = written.split_at(root);
        let wrong = |what: String| format!("the pattern {written}: {what}");
        let mut expression = String::from("^");
        let mut rest = pattern;
        while !rest.is_empty() {
            let (part, length) = if let Some(after) = rest.strip_prefix('{') {
                let end =
                    after.find('}').with_context(|| wrong("expected `}` after `{`".into()))?;
                let group = match &after[..end] {
                    "environment" => "(?P<environment>[^/]+?)",
                    "agent" => "(?P<agent>[^/]+?)",
                    "seed" => "(?P<seed>[0-9]{1,19})",
                    other => anyhow::bail!(wrong(format!(
                        "expected {{agent}}, {{seed}} or {{environment}}, found {{{other}}}"
                    ))),
                };
                (group.to_owned(), end + 2)
            } else if rest.starts_with("**") {
                (".*".to_owned(), 2)
            } else if rest.starts_with('*') {
                ("[^/]*".to_owned(), 1)
            } else {
                let end = rest.find(['{', '*']).unwrap_or(rest.len());
                (regex::escape(&rest[..end]), end)
            };
            expression.push_str(&part);
            rest = &rest[length..];
        }
        if !pattern.ends_with('/') {
            expression.push_str("(?:/.*)?");
        }
        expression.push('$');
        anyhow::ensure!(
            pattern.contains("{seed}"),
            wrong("expected {seed}, which tells trainings of an agent apart".into())
        );
        // The same part twice is no regular expression.
        let regex = Regex::new(&expression)
            .map_err(|_| anyhow::anyhow!(wrong("expected every part once".into())))?;
        let root = if root.is_empty() { "." } else { root };
        Ok((Path::new(root), Self::Pattern(regex)))
    }

    /// What the path of a file, below the folder that is looked in, says of it; nothing where it does not fit the pattern.
    pub(super) fn labels(&self, path: &str) -> Option<Labels> {
        match self {
            Self::Pattern(regex) => regex.captures(path).map(|found| Labels::of(&found)),
            Self::Known => {
                let folders: Vec<&str> = path.split('/').collect();
                let folders = &folders[..folders.len().saturating_sub(1)];
                Some(known(folders))
            }
        }
    }
}

/// CleanRL's run names: environment, script, seed, time.
static CLEANRL: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?P<environment>.+)__(?P<agent>.+)__(?P<seed>\d{1,19})__\d+$"));
/// RL Baselines3 Zoo's folders: environment and the number of the run.
static ZOO: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?P<environment>[A-Za-z][\w.-]*-v\d+)_(?P<seed>\d{1,19})$"));
/// Ray Tune's: algorithm, environment, the trial's id and number, what was sampled.
static TUNE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?P<agent>.+?)_(?P<environment>[A-Za-z][\w.-]*-v\d+)_[0-9a-f]{5,8}_(?P<seed>\d{5})(?:_.*)?$",
    )
});
/// Gymnasium's ids.
static ENVIRONMENT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?P<environment>[A-Za-z][\w.-]*-v\d+)$"));
/// A seed by its name: `seed_3`, `ppo_seed3`, `seed=3`.
static SEED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)^(?P<agent>.*?)[_.-]*seed[_=.-]*(?P<seed>\d{1,19})$"));
/// A number at the end of a name: `3`, `ppo_3`, `run-3`, `s3`.
static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)^(?:(?P<agent>.*?)[_.=-]+|run|trial|s)?(?P<seed>\d{1,19})$"));

fn regex(expression: &str) -> Regex {
    Regex::new(expression).expect("a regular expression")
}

/// What folders say of the training in the last of them: the innermost one that has a number is the seed's, its other
/// words are the agent, else the folder around it.
fn known(folders: &[&str]) -> Labels {
    let mut labels = Labels::default();
    let mut around = Vec::new();
    for name in folders.iter().rev() {
        if let Some(found) = CLEANRL.captures(name).or_else(|| TUNE.captures(name)) {
            return Labels::of(&found);
        }
        if let Some(found) = ENVIRONMENT.captures(name) {
            labels = labels.or(Labels::of(&found));
            continue;
        }
        let tried = [&ZOO, &SEED, &NUMBER];
        match tried.iter().find_map(|regex| regex.captures(name)).filter(|_| labels.seed.is_none())
        {
            Some(found) => {
                let mut of_name = Labels::of(&found);
                let generic = ["", "run", "trial", "seed", "s", "exp"];
                of_name.agent =
                    of_name.agent.filter(|agent| !generic.contains(&&*agent.to_lowercase()));
                labels = labels.or(of_name);
                around.clear();
            }
            None => around.push((*name).to_owned()),
        }
    }
    // Folders inside of the seed's (`eval`) are no agents, nor are those that everybody's logs are in.
    let common =
        ["logs", "log", "runs", "results", "ray_results", "tensorboard", "eval", "evaluations"];
    around.retain(|name| !common.contains(&&*name.to_lowercase()));
    let agent = around.into_iter().next();
    labels.or(Labels { agent, ..Labels::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(environment: &str, agent: &str, seed: Option<u64>) -> Labels {
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        Labels { environment: word(environment), agent: word(agent), seed }
    }

    #[test]
    fn programs_own_layouts_are_known() {
        for (path, expected) in [
            ("ppo/3/monitor.csv", labels("", "ppo", Some(3))),
            ("ppo/seed_3/eval/evaluations.npz", labels("", "ppo", Some(3))),
            ("ppo_3/0.monitor.csv", labels("", "ppo", Some(3))),
            ("td3/0/monitor.csv", labels("", "td3", Some(0))),
            ("td3/monitor.csv", labels("", "td3", None)),
            ("PPO_1/events.out.tfevents.1", labels("", "PPO", Some(1))),
            ("ppo_seed3/monitor.csv", labels("", "ppo", Some(3))),
            ("CartPole-v1/dqn/run-7/monitor.csv", labels("CartPole-v1", "dqn", Some(7))),
            ("dqn/CartPole-v1/7/monitor.csv", labels("CartPole-v1", "dqn", Some(7))),
            // RL Baselines3 Zoo.
            ("logs/ppo/CartPole-v1_2/0.monitor.csv", labels("CartPole-v1", "ppo", Some(2))),
            // CleanRL.
            (
                "runs/CartPole-v1__ppo__1__1700000000/events.out.tfevents.17",
                labels("CartPole-v1", "ppo", Some(1)),
            ),
            (
                "PPO/PPO_CartPole-v1_982a3_00002_2_seed=3_2026-11-27_17-48-08/result.json",
                labels("CartPole-v1", "PPO", Some(2)),
            ),
            ("monitor.csv", labels("", "", None)),
        ] {
            assert_eq!(Layout::Known.labels(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn patterns_name_the_parts() {
        let (root, layout) =
            Layout::parse("my/logs/{agent}-x/s{seed}/**/on-{environment}").expect("a pattern");
        assert_eq!(root, Path::new("my/logs"));
        let found = layout.labels("ppo-x/s12/a/b/on-Walker2d-v5/monitor.csv");
        assert_eq!(found, Some(labels("Walker2d-v5", "ppo", Some(12))));
        assert_eq!(layout.labels("ppo/s12/a/b/on-Walker2d-v5/monitor.csv"), None);

        let (root, layout) = Layout::parse("{seed}/monitor.csv").expect("a pattern");
        assert_eq!(root, Path::new("."));
        assert_eq!(layout.labels("5/monitor.csv"), Some(labels("", "", Some(5))));
        let (root, layout) = Layout::parse("plain/folder").expect("no pattern");
        assert!(root == Path::new("plain/folder") && matches!(layout, Layout::Known));
    }

    #[test]
    fn wrong_patterns_say_what_was_expected() {
        for (pattern, expected) in [
            ("logs/{agent}", "expected {seed}"),
            ("logs/{sed}", "found {sed}"),
            ("logs/{seed", "expected `}`"),
            ("logs/{seed}/{seed}", "expected every part once"),
        ] {
            let error = Layout::parse(pattern).expect_err(pattern).to_string();
            assert!(error.contains(expected) && error.contains(pattern), "{error}");
        }
    }
}
