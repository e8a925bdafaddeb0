//! How many steps per second an environment does on one core: `step_rate ID [SECONDS [COPIES]]`.
//!
//! Actions are drawn beforehand; episodes restart as they end. Prints one JSON line.

use std::time::{Duration, Instant};

use rushes::env::{self, Options, Space, VectorEnv};
use rushes::rng::NpRandom;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let id = args.next().unwrap_or_else(|| "CartPole-v1".to_owned());
    let seconds: f64 = args.next().map_or(Ok(1.0), |text| text.parse())?;
    let copies: usize = args.next().map_or(Ok(1), |text| text.parse())?;
    let spec = env::find(&id).ok_or_else(|| anyhow::anyhow!(env::unknown(&id)))?;

    let mut envs = VectorEnv::new(spec, &Options::new(), copies)?;
    let actions: Vec<Vec<f32>> = {
        let mut rng = NpRandom::new(0);
        let space = envs.action_space().clone();
        (0..1024).map(|_| (0..copies).flat_map(|_| sample(&space, &mut rng)).collect()).collect()
    };
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

/// A uniform action of a bounded space.
fn sample(space: &Space, rng: &mut NpRandom) -> Vec<f32> {
    match space {
        Space::Box { low, high, .. } => low
            .iter()
            .zip(high)
            .map(|(&l, &h)| (rng.uniform(l.into(), h.into()) as f32).clamp(l, h))
            .collect(),
        Space::Discrete { n } => vec![rng.choice(*n) as f32],
        Space::Tuple { sizes } => sizes.iter().map(|&n| rng.choice(n) as f32).collect(),
    }
}
