//! Which Ray cluster is used, and how: the address, `--engine-option`, Ray's own variables.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;

use super::api::Api;
use crate::runner::cluster::JobOptions;

/// Ray's default address of a head on this machine.
const LOCAL: &str = "http://127.0.0.1:8265";

/// A Ray cluster that answered, and how it is used.
#[derive(Debug)]
pub struct RayOptions {
    pub(super) api: Api,
    jobs: JobOptions,
    /// The program of the jobs, where it is not this one.
    pub(super) program: Option<PathBuf>,
    /// The most trials of a job.
    pub(super) batch: usize,
    /// Graphics processors of a job.
    pub(super) gpus: Option<f64>,
    /// Whether jobs may look for the run directory on their node.
    pub(super) shared: bool,
}

impl RayOptions {
    /// Reads options as written, `NAME=VALUE`, and asks the cluster whether it is there: at `address`, or where
    /// `RAY_API_SERVER_ADDRESS` or `RAY_ADDRESS` say, or on this machine.
    ///
    /// # Errors
    /// Fails if an option or the address has another form, or the cluster does not answer or refuses the token.
    pub fn connect(address: Option<&str>, written: &[String]) -> anyhow::Result<Self> {
        let (address, from) = match address {
            Some(address) => (address.to_owned(), "--engine ray=ADDRESS"),
            None => ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"]
                .into_iter()
                .find_map(|name| Some((set(name)?, name)))
                .unwrap_or_else(|| (LOCAL.to_owned(), "Ray's default address")),
        };
        anyhow::ensure!(
            address.starts_with("http://") || address.starts_with("https://"),
            "{from}: {address:?} is not the address of Ray's dashboard; expected http://HEAD:8265 or https://…"
        );
        let mut headers = Vec::new();
        if let Some(json) = set("RAY_JOB_HEADERS") {
            let given: std::collections::BTreeMap<String, String> = serde_json::from_str(&json)
                .context("RAY_JOB_HEADERS: expected a JSON object of strings")?;
            headers.extend(given);
        }
        headers
            .extend(token()?.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
        let mut options = Self {
            api: Api::new(address.trim_end_matches('/').to_owned(), headers),
            jobs: JobOptions::asking_every(Duration::from_secs(2)),
            program: None,
            batch: 32,
            gpus: None,
            shared: true,
        };
        for option in written {
            options.set(option)?;
        }
        let version = options.api.get("/api/version");
        version.with_context(|| format!("--engine ray ({from})"))?.with_context(|| {
            format!(
                "{from}: what answers at {address} is not Ray's dashboard: it has no /api/version"
            )
        })?;
        Ok(options)
    }

    fn set(&mut self, option: &str) -> anyhow::Result<()> {
        if self.jobs.set(option)? {
            return Ok(());
        }
        let expected = |what: &str| format!("--engine-option {option}: expected {what}");
        match option.split_once('=').unwrap_or((option, "")) {
            ("program", path) => self.program = Some(PathBuf::from(path)),
            ("batch", number) => {
                let number = number.parse().ok().filter(|number| (1..=1000).contains(number));
                self.batch =
                    number.with_context(|| expected("a number of trials from 1 to 1000"))?;
            }
            ("gpus", number) => {
                let number = number.parse().ok().filter(|number| (0.0..=1024.0).contains(number));
                self.gpus = Some(number.with_context(|| expected("a number of GPUs"))?);
            }
            ("shared", "auto") => self.shared = true,
            ("shared", "no") => self.shared = false,
            ("shared", _) => anyhow::bail!(expected("shared=auto or shared=no")),
            _ => anyhow::bail!(expected(
                "NAME=VALUE, with grace, poll, on-interrupt, program, batch, gpus or shared as the name"
            )),
        }
        Ok(())
    }

    /// What jobs of every cluster have.
    pub fn jobs(&self) -> &JobOptions {
        &self.jobs
    }
}

/// An environment variable that is not empty.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The token, from where Ray's own programs take it.
fn token() -> anyhow::Result<Option<String>> {
    if let Some(token) = set("RAY_AUTH_TOKEN") {
        return Ok(Some(token));
    }
    let written = match set("RAY_AUTH_TOKEN_PATH") {
        Some(path) => Some(fs::read_to_string(path).context("RAY_AUTH_TOKEN_PATH")?),
        None => {
            let path = std::env::home_dir().map(|home| home.join(".ray/auth_token"));
            path.and_then(|path| fs::read_to_string(path).ok())
        }
    };
    Ok(written.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
}
