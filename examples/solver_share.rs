//! How much of a Box2D environment's step is its solver's: `cargo run --release --example solver_share [STEPS]`.
//!
//! Steps with random actions, without observing; resets are not counted. Prints one JSON line an environment.

use std::time::Instant;

use rushes::env::box2d::solver_seconds;
use rushes::env::spec::BOX2D;
use rushes::env::{self, Options};
use rushes::rng::{Purpose, stream};

fn main() -> anyhow::Result<()> {
    let steps: u32 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    for spec in env::all().iter().filter(|spec| spec.family == BOX2D) {
        let mut env = (spec.make)(&Options::new())?;
        let space = env.action_space().clone();
        let mut rng = stream(0, Purpose::Exploration, 0);
        let mut action = vec![0.0; space.len()];
        let (mut step_seconds, mut inside_seconds) = (0.0, 0.0);
        let mut length = 0;
        env.reset(Some(0))?;
        for _ in 0..steps {
            space.sample(&mut rng, &mut action);
            let action = space.action(&action).expect("drawn from it");
            solver_seconds();
            let start = Instant::now();
            let step = env.step(action)?;
            step_seconds += start.elapsed().as_secs_f64();
            inside_seconds += solver_seconds();
            length += 1;
            if step.terminated || Some(length) == spec.max_episode_steps {
                env.reset(None)?;
                length = 0;
            }
        }
        let microseconds = |seconds: f64| (seconds / f64::from(steps) * 1e9).round() / 1e3;
        let line = serde_json::json!({
            "env": spec.id,
            "step_us": microseconds(step_seconds),
            "solver_us": microseconds(inside_seconds),
            "ratio": (step_seconds / inside_seconds * 1e3).round() / 1e3,
        });
        println!("{line}");
    }
    Ok(())
}
