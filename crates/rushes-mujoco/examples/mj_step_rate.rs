//! How many times a second MuJoCo alone advances a model by `FRAME_SKIP` steps with random controls:
//! `mj_step_rate MODEL.xml FRAME_SKIP [SECONDS]`.
//!
//! What an environment's step costs beside this is its own. The simulation is reset every 1000 steps, as a time limit does.
//! Prints one JSON line.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rushes_mujoco::{Model, Numbers, Simulation};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, frame_skip, seconds @ ..] = &args[..] else {
        return Err("usage: mj_step_rate MODEL.xml FRAME_SKIP [SECONDS]".into());
    };
    let frame_skip: u32 = frame_skip.parse()?;
    let limit = Duration::from_secs_f64(seconds.first().map_or(Ok(1.0), |text| text.parse())?);
    let mut simulation = Simulation::new(Arc::new(Model::from_file(Path::new(model))?))?;
    let range = simulation.numbers(Numbers::CtrlRange).to_vec();
    // A linear congruential generator will do: the controls only have to move the robot about.
    let mut state = 1_u64;
    let mut uniform = |low: f64, high: f64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (low + (high - low) * (state >> 11) as f64 / (1_u64 << 53) as f64) as f32
    };
    let controls: Vec<Vec<f32>> = (0..1000)
        .map(|_| range.chunks_exact(2).map(|bounds| uniform(bounds[0], bounds[1])).collect())
        .collect();
    let start = Instant::now();
    let mut steps = 0_u64;
    while start.elapsed() < limit {
        simulation.reset()?;
        for controls in &controls {
            simulation.step(controls, frame_skip)?;
        }
        steps += controls.len() as u64;
    }
    let rate = steps as f64 / start.elapsed().as_secs_f64();
    println!("{{\"model\": \"{model}\", \"steps_per_second\": {rate:.0}}}");
    Ok(())
}
