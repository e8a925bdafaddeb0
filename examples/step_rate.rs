//! How many steps per second an environment does on one core: `step_rate ID [SECONDS [COPIES]]`.
//!
//! Actions are drawn beforehand; episodes restart as they end. Prints one JSON line.

use std::time::{Duration, Instant};

use rushes::env::{self, Options, VectorEnv};
use rushes::rng::{Purpose, stream};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let id = args.next().unwrap_or_else(|| "CartPole-v1".to_owned());
    let seconds: f64 = args.next().map_or(Ok(1.0), |text| text.parse())?;
    let copies: usize = args.next().map_or(Ok(1), |text| text.parse())?;
    let spec = env::find(&id).ok_or_else(|| anyhow::anyhow!(env::unknown(&id)))?;

    let mut envs = VectorEnv::new(&spec, &Options::new(), copies)?;
    let space = envs.action_space().clone();
    let mut rng = stream(0, Purpose::Exploration, 0);
    let mut actions = vec![vec![0.0; copies * space.len()]; 1024];
    for action in actions.iter_mut().flat_map(|all| all.chunks_exact_mut(space.len())) {
        space.sample(&mut rng, action);
    }
    envs.reset(Some(0))?;
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut steps = 0_u64;
    while start.elapsed() < limit {
        for action in &actions {
            envs.step(action)?;
        }
        steps += (actions.len() * copies) as u64;
    }
    let rate = steps as f64 / start.elapsed().as_secs_f64();
    let line = serde_json::json!({ "env": id, "copies": copies, "steps_per_second": rate.round() });
    println!("{line}");
    Ok(())
}
