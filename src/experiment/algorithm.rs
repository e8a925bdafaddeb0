//! The learning algorithm of an agent, as experiment files describe it.
//!
//! Which algorithms there are, and what hyperparameters each has, is the open table's to say (`algorithm/table.rs`);
//! here they are a name and an object, which the table checks and fills in.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The learning algorithm and its hyperparameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlgorithmSpec {
    /// The algorithm's name.
    pub name: String,
    /// Its hyperparameters; all of them, once the experiment was checked.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

impl JsonSchema for AlgorithmSpec {
    fn schema_name() -> Cow<'static, str> {
        "AlgorithmSpec".into()
    }

    /// A place that [`super::schema::schema`] fills with the table's algorithms.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "The learning algorithm and its hyperparameters." })
    }
}

/// The schema of an algorithm's hyperparameters.
pub struct AlgorithmSchema {
    /// The algorithm's name.
    pub name: String,
    /// One line on it.
    pub summary: String,
    /// The schema of its hyperparameters: an object's.
    pub settings: fn(&mut SchemaGenerator) -> Schema,
}

impl AlgorithmSchema {
    /// The schema of an [`AlgorithmSpec`] with this algorithm.
    pub(super) fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        let mut schema = (self.settings)(generator);
        let mut properties = Map::new();
        properties.insert("name".into(), json!({ "type": "string", "const": self.name }));
        if let Some(Value::Object(settings)) = schema.remove("properties") {
            properties.extend(settings);
        }
        schema.insert("properties".into(), properties.into());
        schema.insert("required".into(), json!(["name"]));
        schema.insert("description".into(), self.summary.clone().into());
        schema.remove("default");
        schema
    }
}
