//! Which training a file belongs to, told by its path: by a pattern that the user gives, else by the layouts that
//! programs use of themselves.

use std::path::{Path, PathBuf};
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
                    // Ids may have a namespace, which is a folder in paths: `ALE/Pong-v5`.
                    "environment" => r"(?P<environment>[^/]+?|[\w-]+/[\w.-]+?-v\d+)",
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
}

/// What a pattern says of the file at `path` below the folder that is looked in; nothing where the path does not fit.
pub(super) fn fitted(pattern: &Regex, path: &str) -> Option<Labels> {
    pattern.captures(path).map(|found| Labels::of(&found))
}

/// What the folders around a file say of its training.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// What they say.
    pub(super) labels: Labels,
    /// Where the seed is a number that may mean something else: the folder that it was taken from.
    pub(super) numbered: Option<Numbered>,
}

/// A folder whose number is taken as the seed though its name does not say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Whether its name has other words too, as `hidden_64` has.
    pub(super) has_words: bool,
}

/// The folders around a file.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    /// Those above what the user named: they tell an agent where nothing else does.
    outer: Vec<String>,
    /// What the user named, and those in it.
    inner: Vec<String>,
    /// The file's own name, where its user chose it.
    file: Option<String>,
}

/// CleanRL's run names: environment, script, seed, time.
static CLEANRL: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?P<environment>.+)__(?P<agent>.+)__(?P<seed>\d{1,19})__\d+$"));
/// RL Baselines3 Zoo's folders: environment and the number of the run.
static ZOO: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?P<environment>.+-v\d+)_(?P<seed>\d{1,19})$"));
/// Ray Tune's: algorithm, environment, the trial's id and number, what was sampled.
static TUNE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?P<agent>.+?)_(?P<environment>[A-Za-z][\w.-]*-v\d+)_[0-9a-f]{5,8}_(?P<seed>\d{5})(?:_.*)?$",
    )
});
/// Gymnasium's ids, which begin with a capital letter and have small ones: agents are called `my-ppo-v2` and `A2C-v2`.
static ENVIRONMENT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[A-Z][\w.]*[a-z][\w.]*(?:-[\w.]+)*-v\d+$"));
/// What is before the slash in ids of Gymnasium's own environments.
const NAMESPACES: [&str; 5] = ["ALE", "phys2d", "tabular", "dm_control", "rushes"];
/// A seed by its name: `seed_3`, `ppo_seed3`, `seed=3`, `lr=0.1,seed=3`.
static SEED: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)^(?P<agent>.*?)[_.,-]*seed[_=.-]*(?P<seed>\d{1,19})(?P<after>[_,-].*)?$")
});
/// A number at the end of a name, `3`, `ppo_3`, `run-3`, `s3`: not that of a decimal, nor of a `name=value`.
static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)^(?:(?P<agent>[^=]*[^=_-])[_-]+|run|trial|s)?(?P<seed>\d{1,5})$"));
/// The beginning of a number such as `1e-4`.
static EXPONENT: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)(?:^|[^a-z0-9.])[0-9.]+e$"));
/// Dates, times of day and seconds since 1970.
static STAMP: LazyLock<Regex> = LazyLock::new(|| {
    let date = r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])";
    let time = r"[0-2]\d[-_.:h]?[0-5]\d(?:[-_.:m]?[0-5]\d(?:\.\d+)?)?";
    let alone = r"[0-2]\d[-_:][0-5]\d[-_:][0-5]\d";
    let seconds = r"1\d{9}(?:\.\d+|\d{3})?";
    regex(&format!(r"(?:^|[_-])(?:{date}(?:[-_T ]{time})?|{alone}|{seconds})(?:$|[_-])"))
});

fn regex(expression: &str) -> Regex {
    Regex::new(expression).expect("a regular expression")
}

impl Folders {
    /// Those of the file at `path`, which was found in `root`, or is it; `own_name` is whether its user chose its name.
    pub(super) fn of(root: &Path, path: &Path, own_name: bool) -> Self {
        let is_file = root == path;
        let named = if is_file { path.parent().unwrap_or(Path::new("")) } else { root };
        let around = if named.as_os_str().is_empty() { Path::new(".") } else { named };
        let whole = std::fs::canonicalize(around).unwrap_or_else(|_| around.to_owned());
        let mut outer = words(&whole);
        let mut inner = Vec::new();
        // Of a folder that is named itself, its name tells too.
        if !named.as_os_str().is_empty() {
            inner.extend(outer.pop());
        }
        let below = path.strip_prefix(root).ok().and_then(Path::parent);
        inner.extend(words(below.unwrap_or(Path::new(""))));
        let stem = path.file_stem().filter(|_| own_name);
        Self { outer, inner, file: stem.map(|stem| stem.to_string_lossy().into_owned()) }
    }

    /// One folder, or what is called as folders are.
    pub(super) fn named(name: &str) -> Self {
        Self { outer: Vec::new(), inner: vec![name.to_owned()], file: None }
    }

    /// What they say of the training in them, of which files tell that it is in `environment`. The seed is the number that
    /// is called so, else the innermost one at a name's end; its other words are the agent, else the folder around it.
    pub(super) fn place(&self, environment: Option<&str>) -> Place {
        let names = &self.inner;
        for (depth, name) in names.iter().enumerate().rev() {
            if let Some(found) = CLEANRL.captures(name).or_else(|| TUNE.captures(name)) {
                let mut labels = Labels::of(&found);
                labels.environment = labels.environment.map(|id| self.with_namespace(depth, id));
                return Place { labels, numbered: None };
            }
        }
        let is_environment = |name: &str| {
            environment.map_or_else(|| ENVIRONMENT.is_match(name), |id| ends(id, name))
        };
        let of_zoo = |name: &str| {
            let found = ZOO.captures(name).map(|found| Labels::of(&found))?;
            found.environment.as_deref().is_some_and(&is_environment).then_some(found)
        };
        let called: Vec<&String> = names.iter().chain(&self.file).collect();
        let named = || {
            let mut called = called.iter().enumerate().rev();
            called.find_map(|(depth, name)| Some((depth, by_name(name)?, None)))
        };
        let guessed = || {
            names.iter().enumerate().rev().find_map(|(depth, name)| {
                let zoo = of_zoo(name);
                let has_words = zoo.is_none();
                let labels = zoo.or_else(|| by_number(name))?;
                let has_words = has_words && labels.agent.is_some();
                let inside = names[..=depth].iter();
                let folder = self.outer.iter().chain(inside).collect();
                Some((depth, labels, Some(Numbered { folder, has_words })))
            })
        };
        let (depth, mut labels, numbered) =
            named().or_else(guessed).unwrap_or((names.len(), Labels::default(), None));
        labels.environment = labels.environment.or_else(|| {
            let mut names = names.iter().enumerate().rev();
            let (depth, name) = names.find(|(_, name)| is_environment(name))?;
            Some(self.with_namespace(depth, name.clone()))
        });
        // Folders inside of the seed's, such as `eval`, are no agents.
        let around = names[..depth].iter().rev();
        let outer = self.outer.iter().rev().filter(|_| labels.seed.is_some() && depth == 0);
        let namespace = labels.environment.as_deref().and_then(|id| id.split_once('/'));
        let is_word = |name: &&String| {
            let is_namespace = namespace.is_some_and(|(space, _)| space == *name);
            !is_environment(name) && !is_common(name) && !is_namespace
        };
        let words = around.chain(outer).filter(is_word).map(|name| undated(name));
        let agent = words.into_iter().find(|name| !name.is_empty());
        labels.agent = labels.agent.or(agent);
        Place { labels, numbered }
    }

    /// The id of an environment that is called `id` in the folder at `depth`, whose namespace may be the folder around it.
    fn with_namespace(&self, depth: usize, id: String) -> String {
        match self.inner[..depth].last() {
            Some(around) if NAMESPACES.contains(&around.as_str()) => format!("{around}/{id}"),
            _ => id,
        }
    }
}

fn words(path: &Path) -> Vec<String> {
    let normal = |part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    path.components().filter_map(normal).collect()
}

/// Whether a folder is called as the environment `id`, or as what follows its namespace.
fn ends(id: &str, name: &str) -> bool {
    id == name
        || id
            .rsplit_once('/')
            .is_some_and(|(space, last)| last == name || format!("{space}-{last}") == name)
}

/// Whether everybody's logs are in folders of this name.
fn is_common(name: &str) -> bool {
    let common =
        ["logs", "log", "runs", "results", "ray_results", "tensorboard", "eval", "evaluations"];
    common.contains(&&*name.to_lowercase())
}

/// A name without the time that is in it: times are neither seeds nor agents.
fn undated(name: &str) -> String {
    let mut rest = name.to_owned();
    while let Some(stamp) = STAMP.find(&rest) {
        let joint = if stamp.start() > 0 && stamp.end() < rest.len() { "_" } else { "" };
        rest.replace_range(stamp.range(), joint);
    }
    rest
}

/// A seed that is called so.
fn by_name(name: &str) -> Option<Labels> {
    let name = undated(name);
    let found = SEED.captures(&name)?;
    let labels = Labels::of(&found);
    let after = found.name("after").map_or("", |after| after.as_str());
    let agent = labels.agent.map(|before| format!("{before}{after}"));
    Some(Labels { agent: agent.and_then(own_words), ..labels })
}

/// A number at the end of a name.
fn by_number(name: &str) -> Option<Labels> {
    let name = undated(name);
    let labels = Labels::of(&NUMBER.captures(&name)?);
    let is_exponent = labels.agent.as_ref().is_some_and(|before| EXPONENT.is_match(before));
    (!is_exponent).then(|| Labels { agent: labels.agent.and_then(own_words), ..labels })
}

/// What an agent may be called of the words beside its seed.
fn own_words(words: String) -> Option<String> {
    let words = words.trim_matches(['_', '-', ',', '.']);
    let generic = ["", "run", "trial", "seed", "s", "exp"];
    (!generic.contains(&&*words.to_lowercase())).then(|| words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(environment: &str, agent: &str, seed: Option<u64>) -> Labels {
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        Labels { environment: word(environment), agent: word(agent), seed }
    }

    /// The place of a file below a folder `logs`.
    fn place(path: &str, environment: Option<&str>) -> Place {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let (stem, _) = file.split_once('.').expect("a file's name");
        let inner = folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let folders = Folders {
            outer: vec!["outer".into()],
            inner,
            file: path.ends_with("t.csv").then(|| stem.to_owned()),
        };
        folders.place(environment)
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
            ("dqn/ALE/Pong-v5/7/monitor.csv", labels("ALE/Pong-v5", "dqn", Some(7))),
            // RL Baselines3 Zoo.
            ("logs/ppo/CartPole-v1_2/0.monitor.csv", labels("CartPole-v1", "ppo", Some(2))),
            // CleanRL.
            (
                "runs/CartPole-v1__ppo__1__1700000000/events.out.tfevents.17",
                labels("CartPole-v1", "ppo", Some(1)),
            ),
            (
                "runs/ALE/Pong-v5__ppo_atari__1__1700000000/events.out.tfevents.17",
                labels("ALE/Pong-v5", "ppo_atari", Some(1)),
            ),
            (
                "PPO/PPO_CartPole-v1_982a3_00002_2_seed=3_2026-11-27_17-48-08/result.json",
                labels("CartPole-v1", "PPO", Some(2)),
            ),
            ("monitor.csv", labels("", "", None)),
            // What the user named is the seed's folder.
            ("3/monitor.csv", labels("", "outer", Some(3))),
        ] {
            assert_eq!(place(path, None).labels, expected, "{path}");
        }
    }

    /// Values of hyperparameters, times and versions are no seeds, and a seed that is called so is one.
    #[test]
    fn numbers_that_mean_something_else_are_no_seeds() {
        for (path, expected) in [
            ("lr/ppo_lr=0.1/monitor.csv", labels("", "ppo_lr=0.1", None)),
            ("lr/lr=3/monitor.csv", labels("", "lr=3", None)),
            ("lr/lr_1e-4/monitor.csv", labels("", "lr_1e-4", None)),
            ("gs/gamma_0.99/monitor.csv", labels("", "gamma_0.99", None)),
            ("gs/gamma_0.99/seed_1/monitor.csv", labels("", "gamma_0.99", Some(1))),
            ("sweep/lr=0.1,seed=3/monitor.csv", labels("", "lr=0.1", Some(3))),
            ("sweep/seed=3,lr=0.1/monitor.csv", labels("", "lr=0.1", Some(3))),
            ("ts/PPO_20261127_123000/monitor.csv", labels("", "PPO", None)),
            ("ts/PPO_1700000000/monitor.csv", labels("", "PPO", None)),
            ("ts/ppo_3_2026-11-27_12-30-00/monitor.csv", labels("", "ppo", Some(3))),
            ("hydra/2026-11-27/12-30-00/monitor.csv", labels("", "hydra", None)),
            ("ck/ppo/seed_1/run_17/monitor.csv", labels("", "ppo", Some(1))),
            ("sb3/ppo/seed_2/PPO_1/events.out.tfevents.1", labels("", "ppo", Some(2))),
            ("my-ppo-v2/1/a.csv", labels("", "my-ppo-v2", Some(1))),
            ("A2C-v2/1/monitor.csv", labels("", "A2C-v2", Some(1))),
            ("py/py3.11/seed1/monitor.csv", labels("", "py3.11", Some(1))),
            ("fs/seed_3.t.csv", labels("", "fs", Some(3))),
            ("fs/run_3.t.csv", labels("", "fs", None)),
        ] {
            assert_eq!(place(path, None).labels, expected, "{path}");
        }
        // An agent that is called as environments are, where the file says which one it is of.
        let told = place("Improved-v2/1/monitor.csv", Some("CartPole-v1"));
        assert_eq!(told.labels, labels("", "Improved-v2", Some(1)));
        let own = place("ppo/my_env-v0/1/monitor.csv", Some("my_env-v0"));
        assert_eq!(own.labels, labels("my_env-v0", "ppo", Some(1)));
    }

    #[test]
    fn guesses_are_told_apart() {
        let numbered = |path| place(path, None).numbered;
        let of = |folder: &str, has_words| Some(Numbered { folder: folder.into(), has_words });
        assert_eq!(numbered("hidden_64/monitor.csv"), of("outer/hidden_64", true));
        assert_eq!(numbered("ppo/3/eval/monitor.csv"), of("outer/ppo/3", false));
        assert_eq!(numbered("ppo/CartPole-v1_3/monitor.csv"), of("outer/ppo/CartPole-v1_3", false));
        assert_eq!(numbered("seed_3/PPO_1/monitor.csv"), None);
    }

    #[test]
    fn patterns_name_the_parts() {
        let fitted = |layout: &Layout, path: &str| match layout {
            Layout::Pattern(pattern) => fitted(pattern, path),
            Layout::Known => panic!("no pattern"),
        };
        let (root, layout) =
            Layout::parse("my/logs/{agent}-x/s{seed}/**/on-{environment}").expect("a pattern");
        assert_eq!(root, Path::new("my/logs"));
        let found = fitted(&layout, "ppo-x/s12/a/b/on-Walker2d-v5/monitor.csv");
        assert_eq!(found, Some(labels("Walker2d-v5", "ppo", Some(12))));
        assert_eq!(fitted(&layout, "ppo/s12/a/b/on-Walker2d-v5/monitor.csv"), None);

        let (root, layout) = Layout::parse("{seed}/monitor.csv").expect("a pattern");
        assert_eq!(root, Path::new("."));
        assert_eq!(fitted(&layout, "5/monitor.csv"), Some(labels("", "", Some(5))));
        let (_, layout) =
            Layout::parse("runs/{environment}__{agent}__{seed}__*").expect("a pattern");
        let found = fitted(&layout, "ALE/Pong-v5__ppo_atari__1__17/events");
        assert_eq!(found, Some(labels("ALE/Pong-v5", "ppo_atari", Some(1))));
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
