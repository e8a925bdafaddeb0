//! Hard-coded policies: an expression in the experiment file, or a rule that the environment ships.

use rhai::{AST, Dynamic, Engine, EvalAltResult, Position, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Env, EnvSpec, Info, Mode, Policy, PolicyError, Situation, Space};
use crate::rng::Rng;

/// A rule: either an expression (`rule`) or the name of one that the environment ships (`name`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardCodedSpec {
    /// An expression in Rhai that gives the action: a whole number for discrete actions, a list of numbers
    /// for continuous ones. It sees `obs` (the observation), `step` (steps taken in this episode), `info`
    /// and the environment's constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The name of a built-in policy; `rushes envs ID` lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An expression that cannot be used, with the place inside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(*.line, *.column))]
pub struct RuleError {
    message: String,
    line: Option<usize>,
    column: Option<usize>,
}

fn place(line: Option<usize>, column: Option<usize>) -> String {
    match (line, column) {
        (Some(1), Some(column)) => format!(" at character {column} of the rule"),
        (Some(line), Some(column)) => format!(" at line {line}, character {column} of the rule"),
        _ => String::new(),
    }
}

impl RuleError {
    fn new(message: impl Into<String>, position: Position) -> Self {
        Self { message: message.into(), line: position.line(), column: position.position() }
    }
}

/// An expression, compiled once.
pub struct Rule {
    engine: Engine,
    ast: AST,
    scope: Scope<'static>,
    /// Variables of the scope before the ones that an evaluation adds.
    constants: usize,
    action_space: Space,
    needs_info: bool,
}

impl Rule {
    /// Compiles `source` for an environment.
    ///
    /// # Errors
    /// Fails if it does not parse, or names a variable that does not exist.
    pub fn compile(source: &str, spec: &EnvSpec, env: &dyn Env) -> Result<Self, RuleError> {
        // A rule decides one action; whoever loops for ever wants to hear of it.
        const MOST_OPERATIONS: u64 = 1_000_000;
        let mut engine = Engine::new();
        engine.set_max_operations(MOST_OPERATIONS);
        engine.set_strict_variables(true);
        let mut scope = Scope::new();
        for (name, value) in &spec.constants {
            scope.push_constant(name, *value);
        }
        let constants = scope.len();
        // The compiler checks names against what will be in scope.
        scope.push("obs", rhai::Array::new()).push("step", 0_i64).push("info", rhai::Map::new());
        let ast = engine
            .compile_with_scope(&scope, source)
            .map_err(|error| RuleError::new(error.err_type().to_string(), error.position()))?;
        let needs_info = source.contains("info");
        let action_space = env.action_space().clone();
        Ok(Self { engine, ast, scope, constants, action_space, needs_info })
    }

    fn decide(&mut self, situation: Situation<'_>) -> Result<Dynamic, RuleError> {
        self.scope.rewind(self.constants);
        let observation: rhai::Array =
            situation.observation.iter().map(|&value| Dynamic::from(f64::from(value))).collect();
        self.scope.push("obs", observation).push("step", i64::from(situation.step));
        let info = if self.needs_info { to_map(situation.env.info()) } else { rhai::Map::new() };
        self.scope.push("info", info);
        self.engine
            .eval_ast_with_scope::<Dynamic>(&mut self.scope, &self.ast)
            .map_err(|error| explain(&error))
    }
}

/// The message of an evaluation error; its position is told in our own words.
fn explain(error: &EvalAltResult) -> RuleError {
    let mut message = error.unwrap_inner().to_string();
    if let Some(cut) = message.find(" (line ") {
        message.truncate(cut);
    }
    RuleError::new(message, error.position())
}

fn to_map(info: Info) -> rhai::Map {
    info.into_iter().map(|(key, value)| (key.into(), to_dynamic(value))).collect()
}

fn to_dynamic(value: serde_json::Value) -> Dynamic {
    use serde_json::Value;
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => value.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.into(),
        Value::Array(array) => array.into_iter().map(to_dynamic).collect::<rhai::Array>().into(),
        Value::Object(object) => to_map(object).into(),
    }
}

/// A number of either kind.
fn number(value: &Dynamic) -> Option<f32> {
    let real = value.as_float().ok().map(|real| real as f32);
    real.or_else(|| value.as_int().ok().map(|whole| whole as f32))
}

impl Policy for Rule {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        _: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let step = situation.step;
        let failed = |message: String| PolicyError { step, message };
        let value = self.decide(situation).map_err(|error| failed(error.to_string()))?;
        let wanted = |value: &Dynamic, space: &Space| {
            failed(format!(
                "the rule gave {value} ({}), expected an action of {space}",
                value.type_name()
            ))
        };
        match value.read_lock::<rhai::Array>() {
            Some(values) if values.len() == action.len() => {
                for (slot, value) in action.iter_mut().zip(values.iter()) {
                    *slot = number(value).ok_or_else(|| wanted(value, &self.action_space))?;
                }
            }
            Some(_) => return Err(wanted(&value, &self.action_space)),
            None if action.len() == 1 => {
                action[0] = number(&value).ok_or_else(|| wanted(&value, &self.action_space))?;
            }
            None => return Err(wanted(&value, &self.action_space)),
        }
        if !self.action_space.contains(action) {
            return Err(wanted(&value, &self.action_space));
        }
        Ok(())
    }
}
