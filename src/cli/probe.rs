//! A policy looked into by hand: its network, and what it makes of an observation.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::element::Element;
use crate::env::{Assessment, Meaning, Mode, Situation, Space, names};
use crate::experiment::EnvironmentSpec;
use crate::results::{PlayingAgent, SavedAgent};
use crate::{console, format};

/// Columns that an index and a name take.
const WIDTH: usize = 36;

/// Prints the layers of an agent's network; as JSON also what programs need beside its `file` to act by it.
///
/// # Errors
/// Fails if it acts by no network or by several.
pub(super) fn network(
    agent: &SavedAgent,
    file: Option<PathBuf>,
    as_json: bool,
) -> anyhow::Result<()> {
    let network = agent.network()?.with_context(|| {
        format!("{} has no network, or plans by several; there are no layers to print", agent.name)
    })?;
    let parameters = network.parameters();
    if as_json {
        // Layers are known without the policy's engine.
        let readout = agent.readout().unwrap_or_default();
        let described = json!({
            "agent": agent.name,
            "observation_space": network.observation_space,
            "action_space": network.action_space,
            "layers": network.layers,
            "readout": readout,
            "action_mask": agent.masks_actions(),
            "file": file,
            "parameters": parameters,
        });
        return console::print(format!("{described:#}\n"));
    }
    let mut text =
        format!("{:>6}  {:<28} {:<14} {:>10}\n", "module", "layer", "output shape", "parameters");
    for (module, layer) in network.layers.iter().enumerate() {
        let (kind, shape) = (layer.kind.to_string(), layer.shape());
        let count = format::count(layer.parameters);
        writeln!(text, "{module:>6}  {kind:<28} {shape:<14} {count:>10}")?;
    }
    writeln!(text, "\n{} parameters", format::count(parameters))?;
    console::print(text)
}

/// Prints the action that an agent takes where it observes `observation` (JSON), and what it thinks of it, below `title`.
///
/// # Errors
/// Fails if it is no observation of the environment, or the agent cannot play there.
pub(super) fn observe(
    agent: &SavedAgent,
    environment: &EnvironmentSpec,
    title: &str,
    observation: &str,
    as_json: bool,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        !agent.plans_on_simulator(),
        "--observe: {} plans on the simulator, not from an observation",
        agent.name
    );
    let mut player: PlayingAgent = agent.play_in(environment)?;
    let (env, policy) = player.parts();
    let space = env.env().observation_space().clone();
    let observation = read(observation, &space)
        .map_err(|problem| anyhow::anyhow!("--observe: {problem}; observations are of {space}"))?;
    // Rules may look at the environment's info, which it has once it was reset.
    let seed = agent.evaluation.seed;
    env.reset(Some(seed), &mut vec![0.0; space.len()])?;
    policy.begin_episode();
    let situation = Situation { observation: &observation, step: 0, env: env.env() };
    let assessment = policy.assess(situation);
    let mode: Mode = agent.evaluation.mode.into();
    let actions = env.env().action_space();
    let mut action = vec![0.0; actions.len()];
    policy.act(situation, mode, &mut agent.chance(seed), &mut action)?;
    let acted = Element::new(actions, &action);
    if as_json {
        let told = Probed {
            agent: &agent.name,
            trained_steps: agent.trained_steps(),
            environment,
            observation: Element::new(&space, &observation),
            action: acted,
            policy: assessment,
        };
        return console::print(serde_json::to_string_pretty(&told)? + "\n");
    }
    let mut text = format!("{}\n\n", console::printable(title));
    let meanings = env.env().observation_meanings();
    writeln!(text, "observation")?;
    if meanings.len() == observation.len() {
        for (index, value) in observation.iter().enumerate() {
            writeln!(text, "  {} {value:>10.4}", named(index, &meanings))?;
        }
    } else {
        writeln!(text, "  {}", Element::new(&space, &observation))?;
    }
    let meanings = env.env().action_meanings();
    if let Some(assessment) = &assessment {
        for (title, values) in [
            ("probabilities", &assessment.probabilities),
            ("action values", &assessment.q_values),
            ("mean of the action", &assessment.mean),
            ("standard deviation", &assessment.std),
        ] {
            if !values.is_empty() {
                writeln!(text, "{title}")?;
            }
            for (index, value) in values.iter().enumerate() {
                writeln!(text, "  {} {value:>10.4}", named(index, &meanings))?;
            }
        }
        if let Some(value) = assessment.value {
            writeln!(text, "value of the state\n  {:<WIDTH$} {value:>10.4}", "")?;
        }
    } else {
        writeln!(text, "the policy tells nothing but its action")?;
    }
    let meaning = match (actions, &action[..]) {
        (Space::Discrete { .. }, [index]) => meanings.get(*index as usize),
        _ => None,
    };
    let meaning = meaning.map(|meaning| format!(" ({})", meaning.name)).unwrap_or_default();
    writeln!(text, "action\n  {acted}{meaning}")?;
    console::print(text)
}

/// What a policy makes of an observation, for programs.
#[derive(serde::Serialize)]
struct Probed<'a> {
    agent: &'a str,
    trained_steps: Option<u64>,
    environment: &'a EnvironmentSpec,
    observation: Element<'a>,
    action: Element<'a>,
    /// Null of a policy that tells nothing but its action.
    policy: Option<Assessment>,
}

/// A number's index and name, as wide as those of others.
fn named(index: usize, meanings: &[Meaning]) -> String {
    let name = meanings.get(index).map_or("", |meaning| &meaning.name);
    format!("{:<WIDTH$}", format!("{index:>3}  {name}"))
}

/// An observation of `space` as flat numbers, from JSON: an object for a dict, an array of its parts for a tuple, else a
/// number, or an array of numbers and arrays. Those of a dict or a tuple may stand one after another as well.
fn read(written: &str, space: &Space) -> Result<Vec<f32>, String> {
    let value: Value =
        serde_json::from_str(written).map_err(|error| format!("expected JSON ({error})"))?;
    let mut numbers = Vec::new();
    element(&value, space, &mut numbers)?;
    if !space.contains(&numbers) {
        return Err(format!("{written} is not among them"));
    }
    Ok(numbers)
}

/// Appends the numbers of an element of `space`.
fn element(value: &Value, space: &Space, numbers: &mut Vec<f32>) -> Result<(), String> {
    match (space, value) {
        (Space::Dict { spaces }, Value::Object(parts)) => {
            if let Some(unknown) = parts.keys().find(|name| !spaces.contains_key(*name)) {
                let known: Vec<&str> = spaces.keys().map(String::as_str).collect();
                return Err(names::unknown("part", unknown, &known));
            }
            spaces.iter().try_for_each(|(name, space)| {
                let part =
                    parts.get(name).ok_or_else(|| format!("the part `{name}` is missing"))?;
                element(part, space, numbers).map_err(|problem| format!("{name}: {problem}"))
            })
        }
        (Space::Tuple { spaces }, Value::Array(parts)) if parts.len() == spaces.len() => {
            spaces.iter().zip(parts).enumerate().try_for_each(|(index, (space, part))| {
                element(part, space, numbers).map_err(|problem| format!("part {index}: {problem}"))
            })
        }
        _ => {
            let (before, expected) = (numbers.len(), space.len());
            flatten(value, numbers)?;
            match numbers.len() - before {
                found if found == expected => Ok(()),
                found => {
                    Err(format!("expected {}, not {found}", format::plural(expected, "number")))
                }
            }
        }
    }
}

fn flatten(value: &Value, numbers: &mut Vec<f32>) -> Result<(), String> {
    match value {
        Value::Number(number) => numbers.push(number.as_f64().unwrap_or(f64::NAN) as f32),
        Value::Bool(bit) => numbers.push(f32::from(u8::from(*bit))),
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, numbers))?,
        other => return Err(format!("expected numbers, not {other}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_are_read_flat_and_checked() {
        let space = Space::uniform_box(-9.0, 9.0, 4);
        assert_eq!(read("[[1, 2], [3, 4.5]]", &space), Ok(vec![1.0, 2.0, 3.0, 4.5]));
        assert_eq!(read("7", &Space::Discrete { n: 8 }), Ok(vec![7.0]));
        for (written, space, problem) in [
            ("[1, 2]", space.clone(), "expected 4 numbers, not 2"),
            ("[1, 2, 3, \"x\"]", space, "expected numbers, not \"x\""),
            ("8", Space::Discrete { n: 8 }, "8 is not among them"),
            ("0.5", Space::Discrete { n: 8 }, "0.5 is not among them"),
        ] {
            assert_eq!(read(written, &space), Err(problem.into()));
        }
    }

    #[test]
    fn observations_of_several_parts_are_read_by_them() {
        let position = Space::uniform_box(-9.0, 9.0, 2);
        let seen = Space::Tuple { spaces: vec![Space::Discrete { n: 3 }, position.clone()] };
        let space = Space::dict([("time", Space::Discrete { n: 5 }), ("seen", seen)]);
        let flat = Ok(vec![2.0, 1.0, -1.5, 4.0]);
        for written in [
            r#"{ "time": 4, "seen": [2, [1, -1.5]] }"#,
            r#"{ "seen": [2, 1, -1.5], "time": [4] }"#,
            "[2, 1, -1.5, 4]",
        ] {
            assert_eq!(read(written, &space), flat, "{written}");
        }
        for (written, problem) in [
            (r#"{ "time": 4 }"#, "the part `seen` is missing"),
            (r#"{ "time": 4, "seen": [2, [1]] }"#, "seen: part 1: expected 2 numbers, not 1"),
            (r#"{ "time": 4, "seen": 2 }"#, "seen: expected 3 numbers, not 1"),
            (r#"{ "time": {}, "seen": [2, [1, 1]] }"#, "time: expected numbers, not {}"),
        ] {
            assert_eq!(read(written, &space), Err(problem.into()));
        }
        let error = read(r#"{ "tme": 4 }"#, &space).expect_err("no such part");
        assert!(error.contains("`tme`") && error.contains("`time`"), "{error}");
    }
}
