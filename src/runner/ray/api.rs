//! Ray's REST interfaces: Jobs (`/api/jobs`), packages and the State API (`/api/v0`), of Ray 2.

use std::fmt::Debug;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::runner::cluster::QueueError;

/// How long a connection, or the beginning of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a package or an archive may be under way.
const TRANSFER: Duration = Duration::from_secs(600);

/// The dashboard of a cluster's head.
pub(super) struct Api {
    agent: Agent,
    address: String,
    headers: Vec<(String, String)>,
}

/// Headers are secret.
impl Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Api").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A job, as far as it matters.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Job {
    /// `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`.
    pub status: String,
    #[serde(default)]
    pub message: Option<String>,
    /// Why it failed; Ray before 2.40 does not say.
    #[serde(default)]
    pub error_type: Option<String>,
    #[serde(default)]
    pub driver_exit_code: Option<i64>,
    #[serde(default)]
    pub driver_node_id: Option<String>,
}

impl Api {
    pub(super) fn new(address: String, headers: Vec<(String, String)>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_send_body(Some(TRANSFER))
            .timeout_recv_body(Some(TRANSFER))
            // A cluster's certificate is seldom signed by an authority that browsers know.
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .build();
        Self { agent: config.new_agent(), address, headers }
    }

    /// What a path holds; nothing where there is no such thing.
    pub(super) fn get(&self, path: &str) -> Result<Option<Vec<u8>>, QueueError> {
        let mut request = self.agent.get(format!("{}{path}", self.address));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        self.answer(&format!("GET {path}"), request.call())
    }

    fn get_json(&self, path: &str) -> Result<Option<Value>, QueueError> {
        let read = |body: Vec<u8>| {
            serde_json::from_slice(&body).map_err(|error| {
                QueueError::Refused(format!("{}{path}: no JSON: {error}", self.address))
            })
        };
        self.get(path)?.map(read).transpose()
    }

    fn post(&self, path: &str, body: &Value) -> Result<Option<Vec<u8>>, QueueError> {
        let mut request = self.agent.post(format!("{}{path}", self.address));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        self.answer(&format!("POST {path}"), request.send_json(body))
    }

    fn answer(
        &self,
        what: &str,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let tried = format!("{what} at {}", self.address);
        let read = |mut response: Response<Body>| {
            let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
            Ok((response.status().as_u16(), body))
        };
        let (status, body) = answer
            .and_then(read)
            .map_err(|error: ureq::Error| QueueError::Unreachable(format!("{tried}: {error}")))?;
        let said = String::from_utf8_lossy(&body);
        // A traceback's last line is what it says.
        let line = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let said = line.unwrap_or_default().chars().take(300).collect::<String>();
        // With 500 where no node's agent is up yet.
        let later = matches!(status, 429 | 502..=504)
            || status == 500 && said.contains("please try again later");
        let advice = match status {
            200..=299 => return Ok(Some(body)),
            404 => return Ok(None),
            401 => {
                "Ray wants a token: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or write it into ~/.ray/auth_token"
            }
            403 => {
                "Ray does not accept the token: compare RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token with \
                 the cluster's"
            }
            _ if later => {
                return Err(QueueError::Unreachable(format!("{tried}: HTTP {status}: {said}")));
            }
            _ => "the dashboard's log on the head has more",
        };
        Err(QueueError::Refused(format!("{tried}: HTTP {status}: {said}; {advice}")))
    }

    /// A job; nothing where there is none of this name.
    pub(super) fn job(&self, name: &str) -> Result<Option<Job>, QueueError> {
        let read = |job| {
            serde_json::from_value(job)
                .map_err(|error| QueueError::Refused(format!("job {name}: {error}")))
        };
        self.get_json(&format!("/api/jobs/{name}"))?.map(read).transpose()
    }

    /// Submits a job of this name. Ray refuses a name that it knows already: then an earlier request, whose answer did not
    /// come, was taken.
    pub(super) fn submit(&self, name: &str, job: &Value) -> Result<(), QueueError> {
        match self.post("/api/jobs/", job) {
            Err(QueueError::Refused(_)) if self.job(name)?.is_some() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Has a job end, where it has not: SIGTERM, and SIGKILL after a few seconds.
    pub(super) fn stop(&self, name: &str) -> Result<(), QueueError> {
        if self.job(name)?.is_some_and(|job| matches!(&*job.status, "PENDING" | "RUNNING")) {
            self.post(&format!("/api/jobs/{name}/stop"), &json!({}))?;
        }
        Ok(())
    }

    /// What a job printed.
    pub(super) fn logs(&self, name: &str) -> Result<String, QueueError> {
        let answer = self.get_json(&format!("/api/jobs/{name}/logs"))?.unwrap_or_default();
        Ok(answer["logs"].as_str().unwrap_or_default().to_owned())
    }

    /// Uploads a package, unless it is there; gives its address. Either keeps it there for ten minutes at least.
    pub(super) fn upload(&self, package: &str, zip: &[u8]) -> Result<String, QueueError> {
        let path = format!("/api/packages/gcs/{package}");
        if self.get(&path)?.is_none() {
            let mut request = self.agent.put(format!("{}{path}", self.address));
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            self.answer(&format!("PUT {path}"), request.send(zip))?;
        }
        Ok(format!("gcs://{package}"))
    }

    /// What each living node has, by Ray's names: `CPU`, `memory` in bytes.
    pub(super) fn nodes(&self) -> Result<Vec<Value>, QueueError> {
        let path = "/api/v0/nodes?detail=true&limit=10000";
        let answer = self.get_json(path)?.unwrap_or_default();
        let nodes = answer["data"]["result"]["result"].as_array().cloned().unwrap_or_default();
        let living = nodes.into_iter().filter(|node| node["state"] == "ALIVE");
        Ok(living.map(|node| node["resources_total"].clone()).collect())
    }

    /// The files of a node's log folder whose names begin so.
    pub(super) fn log_files(&self, node: &str, start: &str) -> Result<Vec<String>, QueueError> {
        let path = format!("/api/v0/logs?node_id={node}&glob={start}*");
        let answer = self.get_json(&path)?.unwrap_or_default();
        let kinds = answer["data"]["result"].as_object().cloned().unwrap_or_default();
        let files = kinds.values().filter_map(Value::as_array).flatten();
        Ok(files.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// A file of a node's log folder.
    pub(super) fn log_file(&self, node: &str, file: &str) -> Result<Option<Vec<u8>>, QueueError> {
        self.get(&format!("/api/v0/logs/file?node_id={node}&filename={file}&lines=-1"))
    }
}
