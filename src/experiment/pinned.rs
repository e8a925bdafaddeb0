//! Files that a training needs, as experiment files and plans name them.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

/// A file or a folder that learning depends on: what an experiment file says is a path, what a plan says also its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Where it lies.
    pub path: PathBuf,
    /// The SHA-256 of its content, once a run has looked.
    pub sha256: Option<String>,
}

impl Pinned {
    /// What decides returns about it: its content, wherever it came from.
    pub(super) fn content(&self) -> Value {
        self.sha256.as_ref().map_or_else(|| json!(self.path), |sha256| json!(sha256))
    }
}

impl Serialize for Pinned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.sha256 {
            None => self.path.serialize(serializer),
            Some(sha256) => json!({ "path": self.path, "sha256": sha256 }).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Pinned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (path, sha256) = match &value {
            Value::Object(known) => (known.get("path"), known.get("sha256").and_then(text)),
            _ => (Some(&value), None),
        };
        let path = path.and_then(text).ok_or_else(|| de::Error::custom("expected a path"))?;
        Ok(Self { path: path.into(), sha256 })
    }
}

impl JsonSchema for Pinned {
    fn schema_name() -> Cow<'static, str> {
        "Pinned".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A path relative to the experiment file, or else to the current folder. In plans with the \
                            SHA-256 of its content.",
            "type": ["string", "object"],
            "minLength": 1,
            "properties": {
                "path": { "type": "string" },
                "sha256": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
            },
            "required": ["path", "sha256"],
            "additionalProperties": false,
        })
    }
}
