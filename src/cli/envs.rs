//! `rushes envs`: which environments there are, and one's card.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::environment::Place;
use crate::console;
use crate::env::{self, Channel, EnvSpec, Options, Space};
use crate::exit::Exit;
use crate::experiment::EnvironmentSpec;
use crate::external::conformance::{self, Outcome};

/// List the environments, or show one's spaces, limits, options and built-in policies.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show this environment only: an id, or an experiment file whose environment is meant.
    id: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    Check(Check),
}

/// Check that a program speaks `rushes-env` 1 as `docs/external-environments.md` specifies it.
#[derive(clap::Args)]
struct Check {
    /// An experiment file whose environment is meant, or with --gymnasium an id.
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    name: Option<String>,
    #[command(flatten)]
    place: Place,
    /// The program and its arguments.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Plays with copies of the environment in several processes and says what is right and what is wrong.
fn check(args: &Check) -> anyhow::Result<Exit> {
    let environment = match &args.name {
        Some(name) => args.place.find(name)?,
        None => {
            EnvironmentSpec { command: Some(args.command.clone()), ..EnvironmentSpec::default() }
        }
    };
    let Some(program) = environment.program() else {
        let spec = environment.spec()?;
        anyhow::bail!("{} is built in; there is no program to check", spec.id);
    };
    let findings = conformance::check(&program, &environment.options)?;
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    console::print(lines.join("\n") + "\n")?;
    let wrong = findings.iter().any(|finding| matches!(finding.outcome, Outcome::Wrong(_)));
    Ok(if wrong { Exit::Failed } else { Exit::Success })
}

/// Runs the subcommand.
///
/// # Errors
/// An unknown id; names the nearest.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(Action::Check(args)) = &args.action {
        return check(args);
    }
    let text = match &args.id {
        Some(id) => {
            let environment = args.place.find(id)?;
            let mut card = card(&*environment.spec()?, &environment.options)?;
            if environment.described.as_ref().is_some_and(|described| described.frame.is_none()) {
                card["render"] = Value::Null;
            }
            if args.json { format!("{card:#}\n") } else { card_text(&card)? }
        }
        None if args.json => {
            let cards: Vec<_> = env::all().iter().map(|spec| card_or_reason(spec)).collect();
            format!("{:#}\n", Value::from(cards))
        }
        None => list_text()?,
    };
    console::print(text)?;
    Ok(Exit::Success)
}

/// Everything known about an environment, or why it cannot be made on this machine.
fn card_or_reason(spec: &EnvSpec) -> Value {
    card(spec, &Options::new()).unwrap_or_else(|reason| {
        json!({
            "id": spec.id,
            "family": family(spec),
            "summary": spec.summary,
            "max_episode_steps": spec.max_episode_steps,
            "reward_threshold": spec.reward_threshold,
            "options": options(spec),
            "unavailable": format!("{reason:#}"),
        })
    })
}

fn family(spec: &EnvSpec) -> String {
    spec.family.to_lowercase().replace(' ', "_")
}

/// Everything known about an environment with these options.
fn card(spec: &EnvSpec, options_given: &Options) -> anyhow::Result<Value> {
    let env = (spec.make)(options_given)?;
    let space = |space: &Space| -> anyhow::Result<Value> {
        let mut value = serde_json::to_value(space)?;
        value["text"] = space.to_string().into();
        Ok(value)
    };
    let observation_space = space(env.observation_space())?;
    let action_space = space(env.action_space())?;
    let (width, height) = env.frame_size();
    let policies: Vec<Value> = spec
        .policies
        .iter()
        .map(|policy| json!({ "name": policy.name, "summary": policy.summary }))
        .collect();
    let constants: serde_json::Map<String, Value> =
        spec.constants.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    Ok(json!({
        "id": spec.id,
        "family": family(spec),
        "summary": spec.summary,
        "observation_space": observation_space,
        "action_space": action_space,
        "observations": Channel::table(env.observation_space(), env.observation_meanings()),
        "actions": Channel::table(env.action_space(), env.action_meanings()),
        "max_episode_steps": spec.max_episode_steps,
        "reward_threshold": spec.reward_threshold,
        "render": { "width": width, "height": height, "fps": spec.render_fps },
        "options": options(spec),
        "constants": constants,
        "policies": policies,
    }))
}

/// The options from their schema: name, type, default and description.
fn options(spec: &EnvSpec) -> Vec<Value> {
    let schema = (spec.options_schema)().to_value();
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let option = |(name, property): (&String, &Value)| {
        json!({
            "name": name,
            "type": type_name(property, &schema),
            "default": property["default"],
            "description": property["description"],
        })
    };
    properties.iter().map(option).collect()
}

/// A property's type in words; enumerations list their values.
fn type_name(property: &Value, schema: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let target = schema.pointer(reference.trim_start_matches('#'));
        return target.map_or_else(|| "any".to_owned(), |target| type_name(target, schema));
    }
    if let Some(values) = property["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(kinds) = property[key].as_array() {
            let names: Vec<_> = kinds.iter().map(|kind| type_name(kind, schema)).collect();
            return names.join(" | ");
        }
    }
    match (&property["type"], &property["const"]) {
        (_, value @ Value::String(_)) => value.to_string(),
        (Value::String(name), _) => name.clone(),
        (Value::Array(names), _) => {
            names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ")
        }
        _ => "any".to_owned(),
    }
}

fn list_text() -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for specs in env::all().chunk_by(|a, b| a.family == b.family) {
        writeln!(text, "{}", specs[0].family)?;
        for spec in specs {
            writeln!(text, "  {:<26} {}", spec.id, spec.summary)?;
        }
    }
    writeln!(text, "known to Gymnasium, not made")?;
    for (id, why) in env::retired() {
        writeln!(text, "  {id:<26} {why}")?;
    }
    writeln!(text, "\n`rushes envs ID` shows one; `--json` prints everything.")?;
    Ok(text)
}

fn card_text(card: &Value) -> Result<String, std::fmt::Error> {
    let plain = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let render = &card["render"];
    let mut text = String::new();
    writeln!(text, "{}: {}\n", plain(&card["id"]), plain(&card["summary"]))?;
    for (label, value) in [
        ("observation space", plain(&card["observation_space"]["text"])),
        ("action space", plain(&card["action_space"]["text"])),
        ("time limit (steps)", plain(&card["max_episode_steps"])),
        ("reward threshold", plain(&card["reward_threshold"])),
        (
            "picture",
            match render {
                Value::Null => "none".to_owned(),
                _ => format!(
                    "{}×{} at {} frames/s",
                    render["width"], render["height"], render["fps"]
                ),
            },
        ),
    ] {
        writeln!(text, "  {label:<20} {value}")?;
    }
    for (title, key) in [("observation", "observations"), ("action", "actions")] {
        let entries = card[key].as_array().filter(|entries| !entries.is_empty());
        for (i, entry) in entries.into_iter().flatten().enumerate() {
            if i == 0 {
                writeln!(text, "\n{title}")?;
            }
            let name = match entry["unit"].as_str() {
                Some("") | None => plain(&entry["name"]),
                Some(unit) => format!("{} ({unit})", plain(&entry["name"])),
            };
            let bound = |bound: &Value| {
                bound.as_f64().map_or(plain(bound), |bound| (bound as f32 + 0.0).to_string())
            };
            match entry.get("low") {
                Some(low) => {
                    let (low, high) = (bound(low), bound(&entry["high"]));
                    writeln!(text, "  {i:>3}  {name:<46} {low} to {high}")?;
                }
                None => writeln!(text, "  {i:>3}  {name}")?,
            }
        }
    }
    for (title, key) in [("options", "options"), ("built-in policies", "policies")] {
        let entries = card[key].as_array().map_or(&[][..], Vec::as_slice);
        writeln!(text, "\n{title}{}", if entries.is_empty() { ": none" } else { "" })?;
        for entry in entries {
            let about = entry.get("summary").unwrap_or(&entry["description"]);
            writeln!(text, "  {:<24} {}", plain(&entry["name"]), plain(about))?;
            if key == "options" {
                let (kind, default) = (plain(&entry["type"]), &entry["default"]);
                writeln!(text, "  {:<24} {kind}, default {default}", "")?;
            }
        }
    }
    let constants = card["constants"].as_object().filter(|constants| !constants.is_empty());
    if let Some(constants) = constants {
        writeln!(text, "\nconstants in rules")?;
        for (name, value) in constants {
            writeln!(text, "  {name:<24} {value}")?;
        }
    }
    Ok(text)
}
