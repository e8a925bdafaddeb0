//! How many frames a second are drawn and encoded: CartPole, 600×400, default settings, one thread.
//!
//! `cargo run --release --example video_rate [FRAMES]` prints one JSON object, with the rate that
//! `just bench-peers` compares with Gymnasium's `RecordVideo`.

use std::time::Instant;

use rushes::env::{self, Options, TimeLimit};
use rushes::policy::{Mode, Policy, PolicyError, Situation};
use rushes::rng::Rng;
use rushes::video::{Scene, VideoConfig, probe_file, record_take};

/// Pushes against the pole's lean and spin: balances for a long time, so that the pictures change.
struct Lean;

impl Policy for Lean {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        _: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let observation = situation.observation;
        action[0] = if observation[2] + observation[3] < 0.0 { 0.0 } else { 1.0 };
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let frames: u32 = std::env::args().nth(1).map_or(Ok(2000), |text| text.parse())?;
    let spec = env::find("CartPole-v1").expect("CartPole-v1 is in the table");
    let mut env = TimeLimit::new((spec.make)(&Options::new())?, None);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("take.mp4");
    // Whole episodes of at most 500 steps, as in a report, until there are enough frames.
    let seeds: Vec<u64> = (0..u64::from(frames.div_ceil(500))).collect();
    let scene = Scene {
        seeds: &seeds,
        mode: Mode::Greedy,
        max_steps: Some(499),
        render_fps: spec.render_fps,
        agent: "lean",
        trained_steps: None,
        poster: None,
    };
    let mut rng = rushes::rng::stream(0, rushes::rng::Purpose::Evaluation, 0);
    let start = Instant::now();
    let take = record_take(&mut env, &mut Lean, &mut rng, &scene, &VideoConfig::default(), &path)?;
    let seconds = start.elapsed().as_secs_f64();
    let facts = probe_file(&path)?;
    anyhow::ensure!(facts.frames == take.frames, "the file holds {} frames", facts.frames);
    println!(
        "{}",
        serde_json::json!({
            "frames_per_second": take.frames as f64 / seconds,
            "frames": take.frames,
            "bytes": std::fs::metadata(&path)?.len(),
            "encoder": take.encoder,
        })
    );
    Ok(())
}
