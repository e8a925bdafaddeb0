//! The adapter that serves whatever Gymnasium can make.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use rushes_env::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::process::Program;

/// The adapter: one Python file that needs gymnasium and numpy.
pub const ADAPTER: &str = include_str!("../python/rushes_gymnasium.py");

/// An environment of Gymnasium in a Python of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GymnasiumSpec {
    /// The Python that has Gymnasium and the environment's package: a program on the `PATH`, or a path from the
    /// environment's `directory`; `python3` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Modules to import first: those that register the environment. A module of the user's own is found in the
    /// environment's `directory`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub import: Vec<String>,
    /// Gymnasium's wrappers, from the inside out: a name in `gymnasium.wrappers` or `module:Class`, alone or with its
    /// arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrappers: Vec<Wrapper>,
}

/// A wrapper of Gymnasium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Wrapper {
    /// Its name: one of `gymnasium.wrappers`, or `module:Class`.
    Name(String),
    /// Its name and its arguments.
    WithOptions(WrapperWithOptions),
}

/// A wrapper of Gymnasium with its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrapperWithOptions {
    /// Its name: one of `gymnasium.wrappers`, or `module:Class`.
    pub name: String,
    /// Its arguments by name.
    #[serde(default)]
    pub options: Options,
}

impl GymnasiumSpec {
    /// How the adapter is started in `directory` for the environment `id`, with another time limit than the registered
    /// one where there is one.
    pub fn program(
        &self,
        id: &str,
        max_episode_steps: Option<u32>,
        directory: Option<&Path>,
        start_timeout: Duration,
        call_timeout: Duration,
    ) -> Program {
        let python = self.python.as_deref().unwrap_or("python3");
        let mut settings = json!({ "id": id });
        if !self.import.is_empty() {
            settings["import"] = json!(self.import);
        }
        if !self.wrappers.is_empty() {
            settings["wrappers"] = json!(self.wrappers);
        }
        if let Some(limit) = max_episode_steps {
            settings["max_episode_steps"] = limit.into();
        }
        let settings = settings.to_string();
        // By a variable, so that neither tracebacks nor lists of processes hold the whole text.
        const BOOTSTRAP: &str = "import os; exec(compile(os.environ.pop('RUSHES_ADAPTER'), \
                                 'rushes_gymnasium.py', 'exec'))";
        let arguments = ["-c", BOOTSTRAP, &settings].map(OsString::from).to_vec();
        Program {
            program: python.into(),
            arguments,
            shown: shlex::try_join([python, "rushes_gymnasium.py", &settings])
                .unwrap_or_else(|_| format!("{python:?} rushes_gymnasium.py {settings:?}")),
            directory: directory.map(Path::to_owned),
            variables: vec![("RUSHES_ADAPTER".into(), ADAPTER.into())],
            start_timeout,
            call_timeout,
        }
    }
}
