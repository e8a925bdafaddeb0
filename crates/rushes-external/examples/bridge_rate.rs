//! Steps per second of an environment in another process, with random actions: `step_rate PYTHON ID COPIES SECONDS`.
//! `benches/bridge.py` runs it beside Gymnasium's own ways. Prints the rate.

use std::error::Error;
use std::time::{Duration, Instant};

use rushes_env::{Options, TimeLimit, VectorEnv};
use rushes_external::External;
use rushes_external::gymnasium::GymnasiumSpec;
use rushes_rng::{Purpose, stream};

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("expected PYTHON ID COPIES SECONDS");
    let (python, id, copies, seconds) = (next()?, next()?, next()?.parse()?, next()?.parse()?);
    let spec = GymnasiumSpec { python: Some(python), ..GymnasiumSpec::default() };
    let minute = Duration::from_secs(60);
    let program = spec.program(&id, None, None, minute, minute);
    let options = Options::new();
    let card = External::describe(&program, &options)?;
    let external = External { program, options, card };
    let limited =
        external.copies(copies, 1, false)?.into_iter().map(|env| TimeLimit::new(env, None));
    let mut envs = VectorEnv::of(limited.collect());
    envs.reset(Some(0))?;
    let space = envs.action_space().clone();
    let mut rng = stream(0, Purpose::Exploration, 0);
    let mut actions = vec![0.0; copies * space.len()];
    let (begun, mut steps) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs_f64(seconds) {
        for action in actions.chunks_exact_mut(space.len()) {
            space.sample(&mut rng, action);
        }
        envs.step(&actions)?;
        steps += copies;
    }
    println!("{:.0}", steps as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}
