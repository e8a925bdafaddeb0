//! The JSON Schema of experiment files, and holding a file against it.

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Keyword, ValidationError, Validator};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::algorithm::AlgorithmSchema;
use super::spec::{AGENT_NAME, Spec};
use super::synonyms::synonym;
use crate::env::Problem;
use crate::env::names::{list, short, unknown};

/// The schema of experiment files: [`Spec`] with these algorithms, with every environment's options left open
/// (they are checked by the environment itself), and the ids of `environments` for editors to offer.
pub fn schema(algorithms: &[AlgorithmSchema], environments: &[String]) -> Value {
    let mut generator = SchemaGenerator::default();
    let choices: Vec<Schema> = algorithms.iter().map(|one| one.schema(&mut generator)).collect();
    let mut schema = generator.into_root_schema_for::<Spec>();
    schema.insert("title".into(), "rushes experiment".into());
    let mut schema = schema.to_value();
    schema["$defs"]["AlgorithmSpec"]["oneOf"] = json!(choices);
    schema["$defs"]["EnvironmentSpec"]["properties"]["id"]["examples"] = json!(environments);
    schema
}

/// A schema made ready to hold many experiments against.
pub struct ExperimentValidator {
    schema: Value,
    validator: Validator,
}

impl ExperimentValidator {
    /// Compiles `schema`.
    ///
    /// # Panics
    /// Panics if `schema` is not a valid JSON Schema, which that of [`schema()`] is.
    pub fn new(schema: Value) -> Self {
        let validator = jsonschema::options()
            .with_keyword("format", |_, format, _| Ok(Box::new(WholeNumber::new(format))))
            .build(&schema)
            .expect("the generated schema is a valid schema");
        Self { schema, validator }
    }

    /// Everything in `experiment` that the schema does not allow.
    pub fn problems(&self, experiment: &Value) -> Vec<Problem> {
        let errors = self.validator.iter_errors(experiment);
        errors.flat_map(|error| explain(&error, &self.schema)).collect()
    }
}

/// The keyword `format` as schemars writes it beside numbers: the type that they are read into. What is no whole
/// number at all is the keyword `type`'s business.
struct WholeNumber {
    /// The largest one; `None` for other formats.
    most: Option<u64>,
}

impl WholeNumber {
    fn new(format: &Value) -> Self {
        let most = match format.as_str() {
            Some("uint8") => Some(u64::from(u8::MAX)),
            Some("uint32") => Some(u64::from(u32::MAX)),
            Some("uint64" | "uint") => Some(u64::MAX),
            Some("int64") => Some(i64::MAX as u64),
            _ => None,
        };
        Self { most }
    }
}

impl Keyword<'_> for WholeNumber {
    fn validate<'i>(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        let (Some(most), Value::Number(number)) = (self.most, instance) else { return Ok(()) };
        let whole = number.as_f64().is_none_or(|number| number.fract() == 0.0);
        if number.is_f64() && whole {
            let message = format!(
                "expected a whole number of which every digit counts, found {number}: write its digits, without \
                 point and exponent, up to {most}"
            );
            return Err(ValidationError::custom(message));
        }
        if number.as_u64().is_some_and(|number| number > most) {
            return Err(ValidationError::custom(format!(
                "expected at most {most}, found {number}"
            )));
        }
        Ok(())
    }

    fn is_valid(&self, instance: &Value) -> bool {
        self.validate(instance).is_ok()
    }
}

/// Puts one violation into words; a violated choice becomes the problems of the branch that was meant.
fn explain(error: &ValidationError<'_>, schema: &Value) -> Vec<Problem> {
    let pointer = error.instance_path().as_str();
    let path: Vec<String> =
        pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let found = found(error.instance());
    let at = |message: String| vec![Problem { path: path.clone(), message }];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            let known = known_properties(error, schema);
            unexpected
                .iter()
                .map(|name| {
                    let mut path = path.clone();
                    path.push(name.clone());
                    let message = match synonym(name, &known) {
                        Some(ours) => format!("unknown key `{}`; it is `{ours}` here", short(name)),
                        None => unknown("key", name, &known),
                    };
                    Problem { path, message }
                })
                .collect()
        }
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
            choice(error, context, schema, &path)
        }
        Kind::Required { property } => {
            at(format!("the field `{}` is missing", property.as_str().unwrap_or_default()))
        }
        Kind::Enum { options } => {
            let options: Vec<_> =
                options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            match error.instance().as_str() {
                Some(name) => at(unknown("value", name, &options)),
                None => at(format!("expected one of {}, found {found}", list(&options))),
            }
        }
        Kind::Type { kind } => {
            let expected = match kind {
                jsonschema::error::TypeKind::Single(kind) => type_name(&kind.to_string()),
                jsonschema::error::TypeKind::Multiple(kinds) => {
                    let names: Vec<_> = kinds.iter().map(|k| type_name(&k.to_string())).collect();
                    names.join(" or ")
                }
            };
            at(format!("expected {expected}, found {found}"))
        }
        Kind::Minimum { limit } => at(format!("expected at least {limit}, found {found}")),
        Kind::Maximum { limit } => at(format!("expected at most {limit}, found {found}")),
        Kind::ExclusiveMinimum { limit } => {
            at(format!("expected more than {limit}, found {found}"))
        }
        Kind::ExclusiveMaximum { limit } => {
            at(format!("expected less than {limit}, found {found}"))
        }
        Kind::MinItems { limit } => {
            at(format!("expected at least {limit} elements, found {found}"))
        }
        Kind::MaxItems { limit } => at(format!("expected at most {limit} elements, found {found}")),
        Kind::MinProperties { limit } => {
            at(format!("expected at least {limit} field, found {found}"))
        }
        Kind::MaxProperties { limit } => {
            at(format!("expected at most {limit} field, found {found}"))
        }
        Kind::MaxLength { limit } => {
            at(format!("expected at most {limit} characters, found {found}"))
        }
        Kind::MinLength { limit } => {
            at(format!("expected at least {limit} characters, found {found}"))
        }
        Kind::UniqueItems => at("expected every element once, found one twice".into()),
        Kind::Pattern { pattern } if pattern == "^threshold$" => {
            at(format!("expected a number or \"threshold\", found {found}"))
        }
        Kind::Pattern { pattern } if pattern == "^auto$" => {
            at(format!("expected a number or \"auto\", found {found}"))
        }
        Kind::Pattern { pattern } if pattern == AGENT_NAME => {
            at(format!("expected a name without control characters, found {found}"))
        }
        Kind::Pattern { pattern } => {
            at(format!("expected a text matching {pattern}, found {found}"))
        }
        Kind::PropertyNames { error } => explain(error, schema),
        Kind::Custom { message, .. } => at(message.clone()),
        _ => at(short(&error.to_string())),
    }
}

/// A tagged object fits none of its branches: find the branch that its tag names.
fn choice(
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
    schema: &Value,
    path: &[String],
) -> Vec<Problem> {
    // An optional object is a choice between it and null.
    let optional = |errors: &&Vec<ValidationError<'static>>| !matches!(errors[..], [ref only] if matches!(only.kind(), Kind::Type { .. }) && only.instance_path().as_str() == error.instance_path().as_str());
    let tag = |errors: &[ValidationError<'static>]| {
        errors.iter().find_map(|inner| match inner.kind() {
            Kind::Constant { expected_value } => {
                let field = inner.instance_path().as_str().rsplit('/').next()?.to_owned();
                Some((field, expected_value.as_str()?.to_owned()))
            }
            _ => None,
        })
    };
    let candidates: Vec<_> = branches.iter().filter(optional).collect();
    // Without its tag nobody knows which branch was meant.
    let here = error.instance_path().as_str();
    let missing = |errors: &&Vec<ValidationError<'static>>| {
        errors.iter().find_map(|inner| match inner.kind() {
            Kind::Required { property } if inner.instance_path().as_str() == here => {
                property.as_str().map(str::to_owned)
            }
            _ => None,
        })
    };
    // Branches without a tag, each with a key of its own: the key names the branch.
    let untagged = candidates.iter().filter(|errors| tag(errors).is_none());
    let mut keys: Vec<String> = untagged.filter_map(missing).collect();
    keys.dedup();
    if keys.len() > 1 {
        if let Some(meant) = candidates.iter().find(|errors| missing(errors).is_none()) {
            return meant.iter().flat_map(|inner| explain(inner, schema)).collect();
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = error.instance().as_object().and_then(|object| object.keys().next().cloned());
        let message = match found {
            Some(key) => unknown("key", &key, &keys),
            None => format!("expected one of {}", keys.join(", ")),
        };
        return vec![Problem { path: path.to_vec(), message }];
    }
    let absent: Vec<_> = candidates.iter().filter_map(missing).collect();
    if let [field, ..] = &absent[..]
        && absent.len() == candidates.len()
        && absent.iter().all(|other| other == field)
    {
        return vec![Problem {
            path: path.to_vec(),
            message: format!("the field `{field}` is missing"),
        }];
    }
    if let Some(meant) = candidates.iter().find(|errors| tag(errors).is_none()) {
        return meant.iter().flat_map(|inner| explain(inner, schema)).collect();
    }
    let tags: Vec<_> = candidates.iter().filter_map(|errors| tag(errors)).collect();
    let (Some((field, _)), names) =
        (tags.first(), tags.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>())
    else {
        let message = match expected_types(error, branches) {
            types if types.is_empty() => short(&error.to_string()),
            types => format!("expected {}, found {}", types.join(" or "), found(error.instance())),
        };
        return vec![Problem { path: path.to_vec(), message }];
    };
    let mut path = path.to_vec();
    // A choice between plain words has no field.
    let value = if candidates
        .iter()
        .all(|errors| errors.iter().all(|e| e.instance_path().as_str() == here))
    {
        Some(error.instance().as_ref())
    } else {
        path.push(field.clone());
        error.instance().get(field)
    };
    let message = match value.and_then(Value::as_str) {
        Some(name) => unknown("value", name, &names),
        None => format!("expected one of {}", names.join(", ")),
    };
    vec![Problem { path, message }]
}

/// The types that the branches of a choice want in its place; null, which stands for leaving it out, last.
fn expected_types(
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
) -> Vec<String> {
    let here = error.instance_path().as_str();
    let inner = branches.iter().flatten().filter(|inner| inner.instance_path().as_str() == here);
    let mut types: Vec<_> = inner
        .filter_map(|inner| match inner.kind() {
            Kind::Type { kind: jsonschema::error::TypeKind::Single(kind) } => {
                Some(type_name(&kind.to_string()))
            }
            _ => None,
        })
        .collect();
    types.sort_by_key(|name| name == "null");
    types.dedup();
    types
}

/// The properties that the violated `additionalProperties` would have allowed.
fn known_properties<'s>(error: &ValidationError<'_>, schema: &'s Value) -> Vec<&'s str> {
    let pointer = error.schema_path().as_str();
    let object = pointer.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent));
    let properties = object.and_then(|object| object.get("properties")?.as_object());
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn type_name(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".into(),
        "array" => "a list".into(),
        "object" => "an object".into(),
        "null" => "null".into(),
        "boolean" => "true or false".into(),
        "string" => "a text".into(),
        other => format!("a {other}"),
    }
}

/// A value for an error message, cut where it is long.
fn found(value: &Value) -> String {
    short(&value.to_string())
}
