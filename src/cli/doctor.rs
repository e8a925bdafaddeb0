//! `rushes doctor`: what this program found on this machine, and how to add what it did not.

use crate::env::mujoco;
use crate::exit::Exit;
use crate::nn::Engine;
use crate::runner::engine_program;
use crate::video::{self, Codec};
use crate::{console, env};

/// Tell what this program can do on this machine, and how to add what is missing.
#[derive(clap::Args)]
pub(super) struct Args {}

/// Prints a line for each: its name, `found` or `missing`, and which one or what to do.
///
/// # Errors
/// None that is expected: nothing of it is needed by every experiment.
pub(super) fn run() -> anyhow::Result<Exit> {
    let program = std::env::current_exe().map_or("?".into(), |path| path.display().to_string());
    console::print(format_args!("rushes {}, {program}", env!("CARGO_PKG_VERSION")))?;
    for (name, found) in
        [("films", films()), ("Box2D", box2d()), ("MuJoCo", mujoco()), ("libtorch", libtorch())]
    {
        let (state, text) = match found {
            Ok(text) => ("found", text),
            Err(text) => ("missing", text),
        };
        console::print(format_args!("{name:<9} {state:<8} {text}"))?;
    }
    Ok(Exit::Success)
}

fn films() -> Result<String, String> {
    let choice = video::probe(Codec::Auto).map_err(|error| error.to_string())?;
    let version = video::ffmpeg_version().map(|version| format!(" ({version})"));
    let from = if choice.encoder == video::BUILT_IN { Some(" (built in)".into()) } else { version };
    let note = choice.note.map(|note| format!("; {note}")).unwrap_or_default();
    Ok(format!("{}{}{note}", choice.encoder, from.unwrap_or_default()))
}

fn box2d() -> Result<String, String> {
    const ID: &str = "LunarLander-v3";
    match env::find(ID) {
        Some(_) => Ok("built in: LunarLander, BipedalWalker, CarRacing".into()),
        None => Err(env::unknown(ID)),
    }
}

fn mujoco() -> Result<String, String> {
    let file = mujoco::open_library().map_err(|error| error.to_string())?;
    Ok(format!("{} ({})", mujoco::VERSION, file.display()))
}

fn libtorch() -> Result<String, String> {
    if Engine::TORCH.is_here() {
        return Ok("built in".into());
    }
    let program = engine_program(Engine::TORCH.name()).map_err(|error| format!("{error:#}"))?;
    Ok(program.display().to_string())
}
