//! Hard-coded policies: an expression in the experiment file, or a rule that the environment ships.

use std::any::TypeId;
use std::ops::{Range, RangeInclusive};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, BitFieldPackage, LogicPackage, MoreStringPackage,
    Package,
};
use rhai::{
    AST, Dynamic, Engine, EvalAltResult, ImmutableString, LexError, ParseErrorType, Position, Scope,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Env, EnvSpec, Info, Mode, Policy, PolicyError, Situation, Space};
use crate::format;
use crate::rng::Rng;

/// A rule: either an expression (`rule`) or the name of one that the environment ships (`name`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardCodedSpec {
    /// An expression in Rhai that gives the action: a whole number for discrete actions, a list of numbers
    /// for continuous ones. It sees `obs` (the observation: a whole number where it is discrete, else a list of
    /// numbers), `step` (steps taken in this episode), `info` and the environment's constants, and nothing else:
    /// no files, no clock, no chance, nothing of the step before.
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

/// What rules cannot call: it reaches outside of them, or would make an action depend on more than what they see. `switch`
/// passes over cases that can never be equal without a word, where `==` is an error.
const UNAVAILABLE: [&str; 9] =
    ["import", "export", "eval", "print", "debug", "sleep", "timestamp", "exit", "switch"];

/// An engine that computes and does nothing else, within bounds of time and memory. What a rule sees has
/// `observation` numbers.
fn engine(observation: usize) -> Engine {
    // Rhai measures what is put into a list or a map, not always the whole: memory is bounded by these three together.
    const MOST_OPERATIONS: u64 = 100_000;
    const MOST_ELEMENTS: usize = 1_000;
    const LONGEST_TEXT: usize = 1_000;
    const MOST_VARIABLES: usize = 100;
    const DEEPEST_CALL: usize = 16;
    // Raw: no modules, no output. The packages left out are those of the clock, of sleeping, and of byte arrays.
    let mut engine = Engine::new_raw();
    for package in [
        ArithmeticPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicFnPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
        BasicMathPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
        BitFieldPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        MoreStringPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(package);
    }
    for word in UNAVAILABLE {
        engine.disable_symbol(word);
    }
    engine
        .set_strict_variables(true)
        // Enough to look at every pixel.
        .set_max_operations(MOST_OPERATIONS + 10 * observation as u64)
        .set_max_array_size(MOST_ELEMENTS)
        .set_max_map_size(MOST_ELEMENTS)
        .set_max_string_size(LONGEST_TEXT)
        .set_max_variables(MOST_VARIABLES)
        .set_max_call_levels(DEEPEST_CALL);
    refuse_futile_comparisons(&mut engine);
    engine
}

/// Makes comparisons errors that Rhai would call false whatever the values are. A missing entry of a map is `()`,
/// which anything may be compared with.
fn refuse_futile_comparisons(engine: &mut Engine) {
    let nothing = TypeId::of::<()>();
    let (whole, real) = (TypeId::of::<i64>(), TypeId::of::<f64>());
    let (character, text) = (TypeId::of::<char>(), TypeId::of::<ImmutableString>());
    let types = [
        nothing,
        whole,
        real,
        character,
        text,
        TypeId::of::<bool>(),
        TypeId::of::<rhai::Array>(),
        TypeId::of::<rhai::Map>(),
        TypeId::of::<rhai::FnPtr>(),
        TypeId::of::<Range<i64>>(),
        TypeId::of::<RangeInclusive<i64>>(),
    ];
    let alike = |a, b| {
        a == b
            || [[whole, real], [character, text]].iter().any(|x| x.contains(&a) && x.contains(&b))
    };
    // Operators that are registered count only where the built-in ones do not come first.
    engine.set_fast_operators(false);
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        let equality = matches!(operator, "==" | "!=");
        for (a, b) in types.iter().flat_map(|&a| types.iter().map(move |&b| (a, b))) {
            if alike(a, b) || (equality && (a == nothing || b == nothing)) {
                continue;
            }
            engine.register_raw_fn(operator, [a, b], move |_, values| -> Result<bool, _> {
                let [a, b] = [values[0].type_name(), values[1].type_name()];
                let why = if equality { "are never equal" } else { "have no order" };
                Err(format!("`{operator}` compares {a} and {b}, which {why}").into())
            });
        }
    }
}

/// An expression, compiled once.
pub struct Rule {
    engine: Engine,
    ast: AST,
    scope: Scope<'static>,
    /// Variables of the scope before the ones that an evaluation adds.
    constants: usize,
    observed: Observed,
    action_space: Space,
    needs_info: bool,
}

/// The form in which a rule sees observations.
#[derive(Clone, Copy)]
enum Observed {
    /// A discrete one.
    Number,
    /// One of discrete parts.
    Numbers,
    /// All others.
    Reals,
}

impl Observed {
    fn of(space: &Space) -> Self {
        match (space.discrete(), space.discrete_parts()) {
            (Some(_), _) => Self::Number,
            (None, Some(_)) => Self::Numbers,
            (None, None) => Self::Reals,
        }
    }

    fn value(self, observation: &[f32]) -> Dynamic {
        let list = |of: fn(f32) -> Dynamic| {
            Dynamic::from_array(observation.iter().map(|&value| of(value)).collect())
        };
        match self {
            Self::Number => Dynamic::from_int(observation[0] as i64),
            Self::Numbers => list(|value| Dynamic::from_int(value as i64)),
            Self::Reals => list(|value| Dynamic::from_float(f64::from(value))),
        }
    }
}

impl Rule {
    /// Compiles `source` for an environment.
    ///
    /// # Errors
    /// Fails if it does not parse, or names a variable that does not exist.
    pub fn compile(source: &str, spec: &EnvSpec, env: &dyn Env) -> Result<Self, RuleError> {
        let engine = engine(env.observation_space().len());
        let mut scope = Scope::new();
        for (name, value) in &spec.constants {
            scope.push_constant(name, *value);
        }
        let constants = scope.len();
        // The compiler checks names against what will be in scope.
        scope.push("obs", ()).push("step", 0_i64).push("info", rhai::Map::new());
        let ast = engine.compile_with_scope(&scope, source).map_err(|error| {
            let message = match error.err_type() {
                ParseErrorType::Reserved(word)
                | ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) => unavailable(word),
                _ => None,
            };
            let message = message.unwrap_or_else(|| error.err_type().to_string());
            RuleError::new(message, error.position())
        })?;
        Ok(Self {
            engine,
            ast,
            scope,
            constants,
            observed: Observed::of(env.observation_space()),
            action_space: env.action_space().clone(),
            needs_info: source.contains("info"),
        })
    }

    fn decide(&mut self, situation: Situation<'_>) -> Result<Dynamic, RuleError> {
        self.scope.rewind(self.constants);
        self.scope.push("obs", self.observed.value(situation.observation));
        self.scope.push("step", i64::from(situation.step));
        let info = if self.needs_info { to_map(situation.env.info()) } else { rhai::Map::new() };
        self.scope.push("info", info);
        self.engine
            .eval_ast_with_scope::<Dynamic>(&mut self.scope, &self.ast)
            .map_err(|error| explain(&error))
    }
}

/// The message for a word that rules cannot use, where this is one.
fn unavailable(word: &str) -> Option<String> {
    UNAVAILABLE.contains(&word).then(|| {
        format!("`{word}` is not available in rules (they compute an action from what they see)")
    })
}

/// The message of an evaluation error; its position is told in our own words.
fn explain(error: &EvalAltResult) -> RuleError {
    let mut message = match error.unwrap_inner() {
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            signature.split_once(" (").and_then(|(name, _)| unavailable(name))
        }
        EvalAltResult::ErrorRuntime(message, _) => Some(message.to_string()),
        _ => None,
    }
    .unwrap_or_else(|| error.unwrap_inner().to_string());
    if let Some(cut) = message.find(" (line ") {
        message.truncate(cut);
    }
    RuleError::new(format::shorten(&message, 300), error.position())
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
                "the rule gave {} ({}), expected an action of {space}",
                format::shorten(&value.to_string(), 100),
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
