//! How many frames a second are drawn and encoded: an environment's first built-in policy at the native size,
//! default settings, one thread.
//!
//! `cargo run --release --example video_rate [ENVIRONMENT [FRAMES]]` prints one JSON object, with the rate that
//! `just bench-peers` compares with Gymnasium's `RecordVideo`.

use std::time::Instant;

use anyhow::Context as _;
use rushes::env::{self, Mode, Options, TimeLimit};
use rushes::trial::{Scene, record_take};
use rushes::video::{VideoConfig, probe_file};

fn main() -> anyhow::Result<()> {
    let id = std::env::args().nth(1).unwrap_or_else(|| "CartPole-v1".to_owned());
    let frames: u32 = std::env::args().nth(2).map_or(Ok(2000), |text| text.parse())?;
    let spec = env::find(&id).with_context(|| env::unknown(&id))?;
    let builtin = spec.policies.first().context("the environment ships no policy to film")?;
    let mut policy = (builtin.make)(&Options::new())?;
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
        agent: &builtin.name,
        trained_steps: None,
        training_episode: None,
        numbers: None,
        poster: None,
    };
    let chance = |seed| rushes::rng::stream(0, rushes::rng::Purpose::Evaluation, seed);
    let config = VideoConfig::default();
    let start = Instant::now();
    let take = record_take(&mut env, &mut *policy, chance, &scene, &config, &path, |_| Ok(()))?;
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
