//! What is known of an environment before it is built: its card.

use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::environment::Env;
pub use crate::environment::Options;
use crate::input;
use crate::names;
use crate::policy::Policy;
use crate::problem::Problem;

/// Builds a `T` (an environment, a policy) from an environment's options; fails with a [`Problem`] whose path
/// is below the options.
pub type Make<T> = Arc<dyn Fn(&Options) -> Result<Box<T>, Problem> + Send + Sync>;

/// The family of small mechanical systems.
pub const CLASSIC_CONTROL: &str = "classic control";
/// The family of small worlds with countable states.
pub const TOY_TEXT: &str = "toy text";
/// The family of Gymnasium's mechanical systems in JAX.
pub const PHYS2D: &str = "phys2d";
/// The family of Gymnasium's countable worlds in JAX.
pub const TABULAR: &str = "tabular";
/// The family of physics by Box2D.
pub const BOX2D: &str = "Box2D";
/// The family of physics by MuJoCo.
pub const MUJOCO: &str = "MuJoCo";

/// Everything known about an environment before it is built (Gymnasium's `EnvSpec`).
#[derive(Clone)]
pub struct EnvSpec {
    /// Gymnasium's id, for example `CartPole-v1`.
    pub id: String,
    /// The family it is listed under, for example [`CLASSIC_CONTROL`]; a new name makes a new family.
    pub family: String,
    /// One line: the task.
    pub summary: String,
    /// The registered time limit in steps.
    pub max_episode_steps: Option<u32>,
    /// The mean return at which the task counts as solved.
    pub reward_threshold: Option<f64>,
    /// Frames per second of the rendering: real time for the simulated seconds.
    pub render_fps: u32,
    /// Builds the environment from its options.
    pub make: Make<dyn Env>,
    /// The JSON Schema of the options, with descriptions and defaults.
    pub options_schema: Arc<dyn Fn() -> Schema + Send + Sync>,
    /// Named numbers that hard-coded rules may use, in SI units where they have one.
    pub constants: Vec<(String, f64)>,
    /// Hard-coded policies by name.
    pub policies: Vec<BuiltinPolicy>,
}

impl EnvSpec {
    /// The card of an environment whose options are a `C`, without limit, threshold, constants and policies, at
    /// 30 frames a second: the rest is filled in with `..EnvSpec::new(id, make)`.
    ///
    /// `C` is an object, by default that of an experiment file without options. Its documentation and defaults are
    /// what `rushes envs ID` shows, and with `#[serde(deny_unknown_fields)]` a misspelt option is refused. A range is
    /// for `make` to check, which fails with a [`Problem`] at the option's name.
    pub fn new<C: DeserializeOwned + JsonSchema>(
        id: &str,
        make: impl Fn(C) -> Result<Box<dyn Env>, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.to_owned(),
            family: "own".to_owned(),
            summary: String::new(),
            max_episode_steps: None,
            reward_threshold: None,
            render_fps: 30,
            make: Arc::new(move |options| make(config(options)?)),
            options_schema: Arc::new(|| schemars::schema_for!(C)),
            constants: Vec::new(),
            policies: Vec::new(),
        }
    }

    /// The same environment under another id, with another default of `option`.
    #[must_use]
    pub fn variant(self, id: &str, option: &'static str, default: impl Into<Value>) -> Self {
        let default: Value = default.into();
        let schema = (self.options_schema)();
        let policy = |policy: BuiltinPolicy| BuiltinPolicy {
            make: defaulting(policy.make, option, default.clone()),
            ..policy
        };
        Self {
            id: id.to_owned(),
            make: defaulting(self.make, option, default.clone()),
            policies: self.policies.into_iter().map(policy).collect(),
            options_schema: Arc::new(move || {
                let mut schema = schema.clone();
                if let Some(own) = schema.pointer_mut(&format!("/properties/{option}/default")) {
                    *own = default.clone();
                }
                schema
            }),
            ..self
        }
    }

    /// The same environment without some of its options, which keep their defaults.
    #[must_use]
    pub fn without(self, options: &'static [&'static str]) -> Self {
        let schema = (self.options_schema)();
        let policy = |policy: BuiltinPolicy| BuiltinPolicy {
            make: refusing(policy.make, &self.id, options),
            ..policy
        };
        Self {
            make: refusing(self.make, &self.id, options),
            policies: self.policies.into_iter().map(policy).collect(),
            options_schema: Arc::new(move || {
                let mut schema = schema.clone();
                let known = schema.pointer_mut("/properties").and_then(Value::as_object_mut);
                if let Some(known) = known {
                    known.retain(|name, _| !options.contains(&name.as_str()));
                }
                schema
            }),
            ..self
        }
    }

    /// The message for a name that is not among the built-in policies.
    pub fn unknown_policy(&self, name: &str) -> String {
        let known: Vec<_> = self.policies.iter().map(|policy| policy.name.as_str()).collect();
        if known.is_empty() {
            return format!("{} ships no built-in policy; write a `rule`", self.id);
        }
        names::unknown("built-in policy", name, &known)
    }
}

/// `make` with another default of `option`.
fn defaulting<T: ?Sized + 'static>(make: Make<T>, option: &'static str, default: Value) -> Make<T> {
    Arc::new(move |options| {
        let mut options = options.clone();
        options.entry(option).or_insert_with(|| default.clone());
        make(&options)
    })
}

/// `make` without these options of the environment `id`.
fn refusing<T: ?Sized + 'static>(
    make: Make<T>,
    id: &str,
    refused: &'static [&'static str],
) -> Make<T> {
    let id = id.to_owned();
    Arc::new(move |options| match refused.iter().find(|&&name| options.contains_key(name)) {
        Some(name) => {
            Err(Problem::new(&[name], format!("unknown field `{name}`, {id} has no such option")))
        }
        None => make(options),
    })
}

/// A hard-coded policy that an environment ships by name.
#[derive(Clone)]
pub struct BuiltinPolicy {
    /// The name used in `{"type": "hard-coded", "name": …}`.
    pub name: String,
    /// One line on what it does and where it comes from.
    pub summary: String,
    /// Builds it for an environment with these options.
    pub make: Make<dyn Policy>,
}

impl BuiltinPolicy {
    /// A policy of an environment whose options are a `C`.
    pub fn new<C: DeserializeOwned>(
        name: &str,
        summary: &str,
        make: impl Fn(C) -> Result<Box<dyn Policy>, Problem> + Send + Sync + 'static,
    ) -> Self {
        let make: Make<dyn Policy> = Arc::new(move |options| make(config(options)?));
        Self { name: name.to_owned(), summary: summary.to_owned(), make }
    }
}

/// [`EnvSpec::constants`] from a table.
pub fn constants(table: &[(&str, f64)]) -> Vec<(String, f64)> {
    table.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

/// Arguments of Gymnasium's `make` that are no options here, and what does the same.
const ELSEWHERE: &[(&str, &str)] = &[
    ("render_mode", "no option: leave it out, `recording` says what is filmed"),
    ("verbose", "no option: leave it out, environments print nothing"),
    ("max_episode_steps", "no option: write it beside `id` and `options`"),
];

/// Reads an environment's own configuration type from `options`.
///
/// # Errors
/// Names the field that could not be read.
pub fn config<C: DeserializeOwned>(options: &Options) -> Result<C, Problem> {
    // Single precision ends not far above. Seeds are only hashed.
    const MOST: f64 = 1e38;
    let too_large = |(name, value): &(&String, &Value)| {
        !name.ends_with("seed") && value.as_f64().is_some_and(|number| number.abs() > MOST)
    };
    if let Some((name, value)) = options.iter().find(too_large) {
        let message = format!("expected a number between -{MOST:e} and {MOST:e}, found {value}");
        return Err(Problem::new(&[name], message));
    }
    let mut value = Value::Object(options.clone());
    input::whole_numbers(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let problem = Problem::of_serde(&error);
        let unknown = |(name, _): &&(&str, &str)| {
            problem.message.starts_with(&format!("unknown field `{name}`"))
        };
        match ELSEWHERE.iter().find(unknown) {
            Some((name, instead)) => Problem::new(&[name], *instead),
            None => problem,
        }
    })
}
