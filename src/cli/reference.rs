//! The JSON Schema of experiment files as prose: `docs/reference.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::env::EnvSpec;

const BEGINNING: &str = "\
# Reference

Every field of an experiment file, and every option of the built-in environments. `rushes schema --markdown` writes this page
from the JSON Schema that files are held against, which `rushes schema` prints. `NAME` stands for a name of your own, `[]`
for each element of a list. Under *default*, `—` is a field that may be left out.
";

/// Every field of an experiment file and every option of these environments, as Markdown: a section for each object by
/// its path in the file, with a table of its fields.
pub(super) fn reference<'e>(
    schema: &Value,
    environments: impl IntoIterator<Item = &'e EnvSpec>,
) -> String {
    let mut writer = Writer::new(schema, BEGINNING.to_owned());
    writer.fields("", schema, None);
    let mut text = writer.text;
    text.push_str("\n## Options of environments\n\nWhat `environment.options` takes.\n");
    for spec in environments {
        let options = (spec.options_schema)().to_value();
        let _ = write!(text, "\n### `{}`\n\n{}.\n", spec.id, capitalised(&spec.summary));
        let mut writer = Writer::new(&options, text);
        writer.fields("environment.options", &options, None);
        text = writer.text;
    }
    text
}

struct Writer<'s> {
    schema: &'s Value,
    text: String,
    /// The path that each definition of the schema is described at.
    places: BTreeMap<&'s str, String>,
}

impl<'s> Writer<'s> {
    fn new(schema: &'s Value, text: String) -> Self {
        Self { schema, text, places: BTreeMap::new() }
    }

    /// A table of an object's fields but `tag`, then a section for each of them that is an object itself.
    fn fields(&mut self, path: &str, object: &'s Value, tag: Option<&str>) {
        let fields = object["properties"].as_object().into_iter().flatten();
        let fields: Vec<_> = fields.filter(|(name, _)| Some(name.as_str()) != tag).collect();
        if fields.is_empty() {
            return;
        }
        self.text.push_str("\n| field | type | default | |\n|---|---|---|---|\n");
        let required = |name: &str| {
            object["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
        };
        let inside = |name: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
        };
        for &(name, field) in &fields {
            let kind = self.kind(&inside(name), field);
            let default = match field.get("default") {
                _ if required(name) => "required".to_owned(),
                Some(Value::Null) | None => "—".to_owned(),
                Some(value) => shown(value),
            };
            let mut description = text_of(field);
            for choice in choices(self.resolve(field).1) {
                if let (Some(word), Some(meaning)) =
                    (choice["const"].as_str(), choice["description"].as_str())
                {
                    let _ = write!(description, " `{word}`: {meaning}");
                }
            }
            let cells = [format!("`{name}`"), kind, default, description];
            let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            let _ = writeln!(self.text, "| {} |", cells.join(" | "));
        }
        for (name, field) in fields {
            self.sections(&inside(name), field);
        }
    }

    /// The sections of whatever objects a field holds.
    fn sections(&mut self, path: &str, field: &'s Value) {
        let (definition, inner) = self.resolve(field);
        if definition.is_some_and(|name| self.places.get(name).is_some_and(|place| place != path)) {
            return;
        }
        let objects: Vec<_> =
            choices(inner).filter(|choice| choice.get("properties").is_some()).collect();
        if inner.get("properties").is_some() || !objects.is_empty() {
            let level = if path.contains('.') { "###" } else { "##" };
            let _ = write!(self.text, "\n{level} `{path}`\n\n{}\n", text_of(inner));
            self.fields(path, inner, None);
        }
        for object in objects {
            let (tag, name) = variant(object);
            let _ = write!(self.text, "\n#### `{path}`: `{name}`\n\n{}\n", text_of(object));
            self.fields(path, object, tag);
        }
        for choice in choices(inner).filter(|choice| choice.get("$ref").is_some()) {
            self.sections(path, choice);
        }
        if let items @ Value::Object(_) = &inner["items"] {
            self.sections(&format!("{path}[]"), items);
        }
        if let values @ Value::Object(_) = &inner["additionalProperties"] {
            self.sections(&format!("{path}.NAME"), values);
        }
    }

    /// What may stand in a field, for a table.
    fn kind(&mut self, path: &str, field: &'s Value) -> String {
        let (definition, inner) = self.resolve(field);
        if let Some(word) = inner.get("const") {
            return shown(word);
        }
        let place = match definition {
            Some(name) => self.places.entry(name).or_insert_with(|| path.to_owned()).clone(),
            None => path.to_owned(),
        };
        let link = |what: &str| format!("[{what}](#{})", anchor(&place));
        let mut kinds: Vec<String> = Vec::new();
        if inner.get("properties").is_some()
            || choices(inner).any(|choice| choice.get("properties").is_some())
        {
            kinds.push(link("object"));
        }
        for choice in choices(inner).filter(|choice| choice.get("properties").is_none()) {
            kinds.push(self.kind(path, choice));
        }
        for name in types(inner) {
            match name {
                "null" => {}
                "object" if inner.get("properties").is_some() => {}
                "object" => match &inner["additionalProperties"] {
                    values @ Value::Object(_) => {
                        let of = self.kind(&format!("{path}.NAME"), values);
                        kinds.push(format!("object of {of}"));
                    }
                    _ => kinds.push("object".into()),
                },
                "array" => {
                    let items = match &inner["items"] {
                        items @ Value::Object(_) => {
                            format!(" of {}", self.kind(&format!("{path}[]"), items))
                        }
                        _ => String::new(),
                    };
                    kinds.push(format!("list{items}"));
                }
                "string" => match inner["pattern"]
                    .as_str()
                    .and_then(|word| word.strip_prefix('^')?.strip_suffix('$'))
                {
                    Some(word) if word.chars().all(char::is_alphanumeric) => {
                        kinds.push(format!("`\"{word}\"`"))
                    }
                    _ => kinds.push("text".into()),
                },
                number => kinds.push(format!(
                    "{}{}",
                    number.replace("boolean", "true or false"),
                    range(inner)
                )),
            }
        }
        kinds.dedup();
        if kinds.is_empty() { "anything".into() } else { kinds.join(" or ") }
    }

    /// What a schema stands for, and the name of the definition it refers to: a choice between something and null is
    /// that.
    fn resolve(&self, field: &'s Value) -> (Option<&'s str>, &'s Value) {
        if let Some(name) =
            field["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"))
        {
            return (Some(name), &self.schema["$defs"][name]);
        }
        let mut others = choices(field).filter(|choice| choice["type"] != "null");
        match (others.next(), others.next()) {
            (Some(only), None) => self.resolve(only),
            _ => (None, field),
        }
    }
}

/// The branches of a choice but null.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    let branches = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array());
    branches.flatten().filter(|branch| branch["type"] != "null")
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    }
}

/// The field that names a branch of a choice, and its name; for a branch with one field of its own, that field.
fn variant(object: &Value) -> (Option<&str>, String) {
    let fields = || object["properties"].as_object().into_iter().flatten();
    let tag = fields().find_map(|(field, schema)| Some((field, schema["const"].as_str()?)));
    match tag {
        Some((field, name)) => (Some(field), name.to_owned()),
        None => (None, fields().map(|(field, _)| field.as_str()).collect::<Vec<_>>().join(", ")),
    }
}

fn range(schema: &Value) -> String {
    let bounds =
        [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")];
    let number = |limit: f64| match limit.abs() {
        small_or_large if small_or_large > 0.0 && !(1e-4..1e9).contains(&small_or_large) => {
            format!("{limit:e}")
        }
        _ => limit.to_string(),
    };
    let said: Vec<String> = bounds
        .iter()
        .filter_map(|(key, sign)| Some(format!("{sign} {}", number(schema[key].as_f64()?))))
        .collect();
    if said.is_empty() { String::new() } else { format!(" {}", said.join(", ")) }
}

fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST { format!("`{text}`") } else { "see there".into() }
}

fn text_of(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The anchor of a heading as GitHub makes it.
fn anchor(path: &str) -> String {
    path.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
