//! A policy that a program of the user's own makes.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::env::{Env, Options};
use crate::external::{ExternalPolicy, Program, python};
use crate::format;

/// A policy of another process: any trained agent or heuristic (`docs/external-policies.md`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalPolicySpec {
    /// The program and its arguments, which speaks `rushes-policy` 1; in Python, `import rushes_policy` does that.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// The folder that it is started in and that relative paths in `command` begin at; the experiment's `directory` by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// What the program is told.
    #[serde(default, skip_serializing_if = "Options::is_empty")]
    pub options: Options,
    /// Seconds until it has to have answered an observation.
    #[serde(default = "ExternalPolicySpec::default_timeout")]
    #[schemars(range(min = 0.1, max = 1e9))]
    pub timeout_seconds: f64,
}

impl ExternalPolicySpec {
    fn default_timeout() -> f64 {
        60.0
    }

    /// How it is started, as a shell takes it.
    pub fn shown(&self) -> String {
        let line = format::shell_line_in(self.directory.as_deref(), &self.command);
        if self.options.is_empty() {
            line
        } else {
            format!("{line} # options {}", json!(self.options))
        }
    }

    /// Builds the policy for `env`; the process is started when it first acts.
    ///
    /// # Errors
    /// Fails if there is no program.
    pub(super) fn build(&self, env: &dyn Env) -> anyhow::Result<ExternalPolicy> {
        /// A program may have a large model to load.
        const START: Duration = Duration::from_secs(300);
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| anyhow::anyhow!("expected the program in `command`"))?;
        let program = Program {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            shown: self.shown(),
            directory: self.directory.clone(),
            variables: python::variables()?,
            start_timeout: START,
            call_timeout: Duration::from_secs_f64(self.timeout_seconds),
        };
        let (observations, actions) = (env.observation_space(), env.action_space());
        Ok(ExternalPolicy::new(program, self.options.clone(), observations, actions)?)
    }
}
