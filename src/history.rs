//! Every finished run, in an embedded database beside the runs (`output/history.sqlite`).
//!
//! One row for each run and one for each score of each seed, so that whoever draws the history can compute
//! the intervals it wants. Write-ahead logging and a busy timeout let several runs record at once. A
//! database that is damaged, foreign or from a newer version is refused with a message and left as it is.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use serde::Serialize;

use crate::experiment::Metric;
use crate::record::GitInfo;
use crate::regression::Scores;
use crate::results::{AgentSummary, Summary};
use crate::store;

/// The version of the tables; SQLite's `user_version`.
const VERSION: i64 = 2;
/// The first version that has labels.
const LABELLED: i64 = 2;
/// "rush", SQLite's `application_id`: tells our databases from others'.
const APPLICATION: i64 = 0x7275_7368;
/// How long a process waits for another one that is writing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a path in an address of SQLite's is written without.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

const TABLES: &str = "
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY,
    experiment    TEXT NOT NULL,
    run           TEXT NOT NULL,
    environment   TEXT NOT NULL,
    started       TEXT,
    finished      TEXT,
    settings_hash TEXT NOT NULL,
    git_commit    TEXT,
    git_dirty     INTEGER,
    versions      TEXT NOT NULL,
    failed_trials INTEGER NOT NULL,
    label         TEXT,
    UNIQUE (experiment, run)
) STRICT;
CREATE TABLE scores (
    run_id   INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    agent    TEXT NOT NULL,
    metric   TEXT NOT NULL,
    seed     INTEGER NOT NULL,
    score    REAL NOT NULL,
    PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;
";

/// A recorded run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedRun {
    /// The run's directory name.
    pub run: String,
    /// What the user calls it.
    pub label: Option<String>,
    /// The environment, as [`Summary::environment`] has it.
    pub environment: String,
    /// When it was started, UTC.
    pub started: Option<jiff::Timestamp>,
    /// When it ended, UTC.
    pub finished: Option<jiff::Timestamp>,
    /// Hash of everything in the experiment that decides the returns.
    pub settings_hash: String,
    /// The commit of the folder that holds the experiment file.
    pub git: Option<GitInfo>,
    /// Versions of what decides the numbers.
    pub versions: IndexMap<String, String>,
    /// Trials that failed.
    pub failed_trials: u64,
    /// The scores, agent by agent in the order of the experiment file.
    pub series: Vec<Series>,
}

/// One agent's scores in one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// The agent.
    pub agent: String,
    /// The metric.
    pub metric: Metric,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Their scores, likewise.
    pub scores: Vec<f64>,
}

/// The history of all experiments below one output directory.
pub struct History {
    connection: Connection,
}

impl History {
    /// Opens the history in `output`, making it where there is none.
    ///
    /// # Errors
    /// Fails if it cannot be opened, is damaged, foreign or newer.
    pub fn open(output: &Path) -> anyhow::Result<Self> {
        fs_err::create_dir_all(output)?;
        let path = store::history(output);
        let open = || {
            // SQLite would make it 0644 at most, whatever the umask allows a group.
            fs_err::OpenOptions::new().create(true).append(true).open(&path)?;
            Self::open_at(&path, OpenFlags::default())
        };
        open().with_context(|| refused(&path))
    }

    /// Opens the history in `output` to read it, if there is one. Where it cannot be written, it is read as it was when
    /// its last writer closed it.
    ///
    /// # Errors
    /// Fails if it cannot be read, is damaged, foreign or newer.
    pub fn open_existing(output: &Path) -> anyhow::Result<Option<Self>> {
        let path = store::history(output);
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = match Self::open_at(&path, flags) {
            Err(error) if cannot_write(&error) => Self::open_unchanging(&path),
            opened => opened,
        };
        opened.with_context(|| refused(&path)).map(Some)
    }

    /// Opens a history that cannot be written: reading one in the ordinary way, too, writes files beside it.
    fn open_unchanging(path: &Path) -> anyhow::Result<Self> {
        let path = utf8_percent_encode(path.to_str().context("its path is not UTF-8")?, PATH);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)?;
        check(&connection)?;
        Ok(Self { connection })
    }

    fn open_at(path: &Path, flags: OpenFlags) -> anyhow::Result<Self> {
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // Whoever comes first makes the tables; the others wait here and find them made.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let fresh = prepare(&transaction)?;
        transaction.commit()?;
        if fresh {
            // Lasts; refused on some network file systems, and at once while others have the database open: the
            // default journal works as well.
            let _ = connection.pragma_update(None, "journal_mode", "WAL");
        }
        Ok(Self { connection })
    }

    /// Records a run; a run recorded before is replaced.
    ///
    /// # Errors
    /// Fails if the database cannot be written.
    pub fn record(&mut self, summary: &Summary) -> anyhow::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        insert(&transaction, summary).context("failed to record the run in the history")?;
        transaction.commit()?;
        Ok(())
    }

    /// The recorded runs of an experiment, oldest first.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub fn runs(&self, experiment: &str) -> anyhow::Result<Vec<RecordedRun>> {
        // One that cannot be written keeps the tables that it has.
        let labelled = pragma(&self.connection, "user_version")? >= LABELLED;
        let label = if labelled { "label" } else { "NULL" };
        let mut statement = self.connection.prepare(&format!(
            "SELECT id, run, environment, started, finished, settings_hash, git_commit, git_dirty,
                    versions, failed_trials, {label}
             FROM runs WHERE experiment = ?1 ORDER BY started, run",
        ))?;
        let mut rows = statement.query([experiment])?;
        let mut runs = Vec::new();
        while let Some(row) = rows.next()? {
            let time = |index| -> anyhow::Result<Option<jiff::Timestamp>> {
                let text: Option<String> = row.get(index)?;
                Ok(text.map(|text| text.parse()).transpose()?)
            };
            let commit: Option<String> = row.get(6)?;
            let dirty: Option<bool> = row.get(7)?;
            runs.push(RecordedRun {
                run: row.get(1)?,
                environment: row.get(2)?,
                started: time(3)?,
                finished: time(4)?,
                settings_hash: row.get(5)?,
                git: commit.map(|commit| GitInfo { commit, dirty: dirty.unwrap_or(false) }),
                versions: serde_json::from_str(&row.get::<_, String>(8)?)?,
                failed_trials: row.get::<_, i64>(9)?.unsigned_abs(),
                label: row.get(10)?,
                series: self.series(row.get(0)?)?,
            });
        }
        Ok(runs)
    }

    /// The experiments that have recorded runs, by name.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub fn experiments(&self) -> anyhow::Result<Vec<String>> {
        let mut statement =
            self.connection.prepare("SELECT DISTINCT experiment FROM runs ORDER BY experiment")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    fn series(&self, run_id: i64) -> anyhow::Result<Vec<Series>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT agent, metric, seed, score FROM scores WHERE run_id = ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([run_id])?;
        let mut series: Vec<Series> = Vec::new();
        while let Some(row) = rows.next()? {
            let agent: String = row.get(0)?;
            let metric = serde_json::from_value(row.get::<_, String>(1)?.into())?;
            let (seed, score) = (row.get::<_, i64>(2)?.unsigned_abs(), row.get(3)?);
            match series.last_mut() {
                Some(last) if last.agent == agent && last.metric == metric => {
                    last.seeds.push(seed);
                    last.scores.push(score);
                }
                _ => {
                    series.push(Series { agent, metric, seeds: vec![seed], scores: vec![score] });
                }
            }
        }
        Ok(series)
    }
}

fn refused(path: &Path) -> String {
    format!(
        "failed to open the history {}; it was left as it is: move it away to start a new one",
        path.display()
    )
}

/// Whether a database could not be opened because it, or the folder around it, cannot be written.
fn cannot_write(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied))
}

/// Makes the tables in an empty database, and says whether it did; makes sure that any other is ours and whole, and
/// brings it to this version.
fn prepare(transaction: &Transaction<'_>) -> anyhow::Result<bool> {
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0
        && (pragma(transaction, "application_id")?, pragma(transaction, "user_version")?) == (0, 0)
    {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        return Ok(true);
    }
    check(transaction)?;
    if pragma(transaction, "user_version")? < LABELLED {
        transaction.execute_batch("ALTER TABLE runs ADD COLUMN label TEXT")?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(false)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Makes sure that a database is ours and whole.
fn check(connection: &Connection) -> anyhow::Result<()> {
    let application = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    anyhow::ensure!(application == APPLICATION, "it is another program's database");
    anyhow::ensure!(
        version <= VERSION,
        "it has version {version}, this program knows up to {VERSION}; use a newer rushes"
    );
    let health: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    anyhow::ensure!(health == "ok", "it is damaged: {health}");
    Ok(())
}

fn insert(transaction: &Transaction<'_>, summary: &Summary) -> anyhow::Result<()> {
    let trials = summary.agents.iter().flat_map(AgentSummary::seeds);
    let failed = trials.filter(|seed| seed.outcome.as_ref().is_some_and(|o| o.failed())).count();
    transaction.execute(
        "DELETE FROM runs WHERE experiment = ?1 AND run = ?2",
        params![summary.experiment, summary.run],
    )?;
    transaction.execute(
        "INSERT INTO runs (experiment, run, environment, started, finished, settings_hash, git_commit,
                           git_dirty, versions, failed_trials, label)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            summary.experiment,
            summary.run,
            summary.environment,
            summary.started.map(|time| time.to_string()),
            summary.finished.map(|time| time.to_string()),
            summary.settings_hash,
            summary.git.as_ref().map(|git| &git.commit),
            summary.git.as_ref().map(|git| git.dirty),
            serde_json::to_string(&summary.versions)?,
            failed as i64,
            summary.label,
        ],
    )?;
    let run_id = transaction.last_insert_rowid();
    let mut statement = transaction.prepare(
        "INSERT INTO scores (run_id, position, agent, metric, seed, score)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut position = 0_i64;
    for (name, agent) in &Scores::from_summary(summary, None).agents {
        for metric in [Metric::Return, Metric::Area, Metric::StepsToThreshold] {
            for seed in &agent.seeds {
                let Some(score) = seed.score(metric) else { continue };
                // Seeds are below 2^32, see the experiment file's schema.
                let seed = seed.seed as i64;
                statement.execute(params![run_id, position, name, metric.name(), seed, score])?;
                position += 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{Outcome, Progress, RunStatus};
    use crate::results::{Curve, PolicyKind, SeedSummary};

    fn summary(run: &str, returns: &[f64]) -> Summary {
        let seeds = returns.iter().zip(0..).map(|(&value, seed)| SeedSummary {
            seed,
            trial: format!("a--s{seed}"),
            outcome: Some(Outcome::Completed { stop_reason: None }),
            ended_early: false,
            engine: None,
            before_returns: Vec::new(),
            final_returns: vec![value],
            final_lengths: vec![1],
            final_cut: 0,
            progress: Progress::default(),
            training_seconds: 0.0,
            steps_per_second: None,
            peak_memory_bytes: None,
            curve: Curve::default(),
            evaluations: Curve::default(),
            threshold_reached: None,
            goal_reached: None,
        });
        Summary {
            format_version: 1,
            experiment: "cartpole".into(),
            settings_hash: "abc".into(),
            run: run.into(),
            label: Some(format!("label of {run}")),
            status: RunStatus::Finished,
            started: Some("2026-01-02T03:04:05Z".parse().expect("a time")),
            finished: None,
            versions: [("rushes".to_owned(), "0.1.0".to_owned())].into_iter().collect(),
            git: Some(GitInfo { commit: "0123456789".into(), dirty: true }),
            environments: IndexMap::new(),
            environment: "CartPole-v1".into(),
            reward_threshold: None,
            search: None,
            agents: vec![AgentSummary {
                name: "a".into(),
                policy: PolicyKind::Random,
                learns: false,
                curve_window: 100,
                goal: None,
                final_score: Default::default(),
                seeds: seeds.map(Arc::new).collect(),
            }],
        }
    }

    #[test]
    fn records_are_read_back_and_replaced() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        assert!(History::open_existing(folder.path())?.is_none());
        History::open(folder.path())?.record(&summary("one", &[1.0, 2.0]))?;
        let mut history = History::open(folder.path())?;
        history.record(&summary("two", &[5.0]))?;
        history.record(&summary("one", &[3.0, 4.0]))?;
        let runs = history.runs("cartpole")?;
        assert_eq!(runs.iter().map(|run| &run.run[..]).collect::<Vec<_>>(), ["one", "two"]);
        let expected = Series {
            agent: "a".into(),
            metric: Metric::Return,
            seeds: vec![0, 1],
            scores: vec![3.0, 4.0],
        };
        assert_eq!(runs[0].series, [expected]);
        assert_eq!(runs[0].git, Some(GitInfo { commit: "0123456789".into(), dirty: true }));
        assert_eq!(runs[0].started, summary("", &[]).started);
        assert_eq!(history.experiments()?, ["cartpole"]);
        assert_eq!(history.runs("other")?, []);
        let mode: String =
            history.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        assert_eq!(mode, "wal");
        Ok(())
    }

    #[test]
    fn runs_recorded_before_there_were_labels_have_none() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut history = History::open(folder.path())?;
        history.record(&summary("old", &[1.0]))?;
        history.connection.execute_batch("ALTER TABLE runs DROP COLUMN label")?;
        history.connection.pragma_update(None, "user_version", 1)?;
        let labels = |history: &History| -> anyhow::Result<Vec<Option<String>>> {
            Ok(history.runs("cartpole")?.into_iter().map(|run| run.label).collect())
        };
        assert_eq!(labels(&history)?, [None], "as a history that cannot be written is read");
        drop(history);
        let mut history = History::open(folder.path())?;
        history.record(&summary("recent", &[1.0]))?;
        assert_eq!(labels(&history)?, [None, Some("label of recent".into())]);
        Ok(())
    }

    #[test]
    fn several_record_at_once() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|worker| {
                    let path = folder.path();
                    scope.spawn(move || -> anyhow::Result<()> {
                        for run in 0..5 {
                            let run = format!("{worker}-{run}");
                            History::open(path)?.record(&summary(&run, &[1.0, 2.0]))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
        })?;
        assert_eq!(History::open(folder.path())?.runs("cartpole")?.len(), 40);
        Ok(())
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_as_it_is() -> anyhow::Result<()> {
        let newer = |path: &Path| {
            History::open(path.parent().expect("a folder"))?.connection.pragma_update(
                None,
                "user_version",
                VERSION + 1,
            )?;
            Ok(())
        };
        let foreign = |path: &Path| {
            Connection::open(path)?.execute_batch("CREATE TABLE theirs (x)")?;
            Ok(())
        };
        let garbage = |path: &Path| {
            fs_err::write(path, "not a database ".repeat(100))?;
            Ok(())
        };
        let damaged = |path: &Path| {
            let mut history = History::open(path.parent().expect("a folder"))?;
            for run in 0..100 {
                history.record(&summary(&format!("run {run}"), &[1.0; 20]))?;
            }
            drop(history);
            let mut bytes = fs_err::read(path)?;
            bytes[8192..].fill(0x5a);
            fs_err::write(path, bytes)?;
            Ok(())
        };
        type Spoil<'a> = &'a dyn Fn(&Path) -> anyhow::Result<()>;
        let cases: [(Spoil<'_>, &str); 4] = [
            (&newer, "it has version 3, this program knows up to 2; use a newer rushes"),
            (&foreign, "it is another program's database"),
            (&garbage, "file is not a database"),
            (&damaged, "it is damaged"),
        ];
        for (spoil, expected) in cases {
            let folder = tempfile::tempdir()?;
            let path = store::history(folder.path());
            spoil(&path)?;
            let before = fs_err::read(&path)?;
            for result in [
                History::open(folder.path()).map(|_| ()),
                History::open_existing(folder.path()).map(|_| ()),
            ] {
                let message = format!("{:#}", result.expect_err("refused"));
                assert!(message.contains(expected), "{message}");
                assert!(message.contains("it was left as it is"), "{message}");
            }
            assert_eq!(fs_err::read(&path)?, before);
        }
        Ok(())
    }
}
