//! Environments observed by their pictures. Patches are left in `target/tmp` for the eye.

use std::path::Path;

use rushes::env::draw::{Canvas, png};
use rushes::env::spec::TOY_TEXT;
use rushes::env::{self, Channels, Crop, Env, EnvSpec, Options, Pixels, PixelsSpec, TimeLimit};
use rushes::record::TrialResult;
use rushes::rng::NpRandom;
use rushes::store::TrialDir;

use crate::cli::run_smoke;
use crate::env_contract::sample;

fn make(spec: &EnvSpec) -> Box<dyn Env> {
    (spec.make)(&Options::new()).unwrap_or_else(|error| panic!("{}: {error}", spec.id))
}

fn look(spec: &EnvSpec, pixels: &PixelsSpec) -> TimeLimit {
    let env = make(spec);
    assert_eq!(pixels.problems(env.frame_size()), [], "{}", spec.id);
    TimeLimit::new(Box::new(Pixels::new(env, pixels.clone())), spec.max_episode_steps)
}

/// Observations, rewards and last drawing of `steps` random steps, with resets where episodes end.
fn play(mut env: TimeLimit, seed: u64, steps: usize) -> (Vec<Vec<f32>>, Vec<f64>, Vec<u8>) {
    let mut actions = NpRandom::new(1);
    let mut observation = vec![f32::NAN; env.env().observation_space().len()];
    env.reset(Some(seed), &mut observation).expect("a reset");
    let (mut seen, mut rewards) = (vec![observation.clone()], Vec::new());
    for _ in 0..steps {
        let action = sample(env.env().action_space(), &mut actions);
        let transition = env.step(&action, &mut observation).expect("a step");
        rewards.push(transition.reward);
        seen.push(observation.clone());
        if transition.done() {
            env.reset(None, &mut observation).expect("a reset");
            seen.push(observation.clone());
        }
    }
    let (width, height) = env.env().frame_size();
    let mut canvas = Canvas::new(width, height);
    env.env().draw(&mut canvas);
    (seen, rewards, canvas.rgba().to_vec())
}

#[test]
fn every_environment_can_be_observed_by_its_picture() {
    let patches = [
        PixelsSpec { width: 21, height: 14, ..PixelsSpec::default() },
        PixelsSpec {
            width: 12,
            height: 12,
            channels: Channels::Rgb,
            crop: Some(Crop { width: 120, height: 120 }),
            difference: true,
            stack: 2,
        },
    ];
    for spec in &env::all() {
        for pixels in &patches {
            let env = look(spec, pixels);
            let space = env.env().observation_space().clone();
            let (seen, rewards, picture) = play(env, 3, 40);
            for observation in &seen {
                assert!(space.contains(observation), "{}: {observation:?}", spec.id);
            }
            // Not everywhere does something happen inside the window.
            let varied = seen.iter().any(|observation| *observation != seen[0]);
            assert!(varied || pixels.crop.is_some(), "{}: nothing is seen to move", spec.id);
            let again = play(look(spec, pixels), 3, 40);
            assert!(again.0 == seen, "{}: the same seed looks different", spec.id);
            // Looking changes neither what happens nor what is filmed.
            let alone = play(TimeLimit::new(make(spec), spec.max_episode_steps), 3, 40);
            assert_eq!(alone.1, rewards, "{}", spec.id);
            assert!(alone.2 == picture, "{}: another picture", spec.id);
        }
    }
}

fn save(name: &str, pixels: &PixelsSpec, patch: &[f32]) {
    let rgba: Vec<u8> =
        patch.iter().map(|&value| value as u8).flat_map(|v| [v, v, v, 255]).collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("patch_{}.png", name.replace('/', "_")));
    std::fs::write(path, png(&rgba, pixels.width, pixels.height)).expect("a writable target/tmp");
}

/// How nearly two pictures are the same up to brightness and contrast, 1 being wholly.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let covariance = |a: &[f64], b: &[f64]| {
        let (mean_a, mean_b) = (mean(a), mean(b));
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>()
    };
    covariance(a, b) / (covariance(a, a) * covariance(b, b)).sqrt()
}

/// The patch drawn small is the whole picture averaged over squares of ten by ten pixels, up to what a
/// rasteriser does at edges and with lines of one pixel. (The toy worlds' tiles let some background through
/// where their edges cross a pixel.)
#[test]
fn a_patch_is_the_picture_made_small() {
    for spec in env::all().iter().filter(|spec| spec.family != TOY_TEXT) {
        let (width, height) = make(spec).frame_size();
        let pixels = PixelsSpec {
            width: width / 10,
            height: height / 10,
            crop: Some(Crop { width: width / 10 * 10, height: height / 10 * 10 }),
            ..PixelsSpec::default()
        };
        let mut env = look(spec, &pixels);
        let mut patch = vec![0.0; env.env().observation_space().len()];
        env.reset(Some(5), &mut patch).expect(&spec.id);
        save(&spec.id, &pixels, &patch);
        let mut canvas = Canvas::new(width, height);
        let (x, y) = env.env().focus();
        let corner = ((width / 10 * 10) as f32 / 2.0 - x, (height / 10 * 10) as f32 / 2.0 - y);
        canvas.set_view(1.0, 1.0, corner.0, corner.1);
        env.env().draw(&mut canvas);
        let mut means = vec![0.0; patch.len()];
        for (i, pixel) in canvas.rgba().chunks_exact(4).enumerate() {
            let (row, column) = (i / width as usize / 10, i % width as usize / 10);
            if row < pixels.height as usize && column < pixels.width as usize {
                let [red, green, blue] = [0, 1, 2].map(|channel| f64::from(pixel[channel]));
                means[row * pixels.width as usize + column] +=
                    (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0 / 100.0;
            }
        }
        let patch: Vec<f64> = patch.into_iter().map(f64::from).collect();
        let found = correlation(&patch, &means);
        println!("{}: {found:.4}", spec.id);
        assert!(found > 0.9, "{}: {found}", spec.id);
    }
}

/// Greyscale of the native CartPole, by columns, wherever the cart is.
#[test]
fn a_cropped_cart_stays_in_the_middle() {
    let spec = rushes::env::find("CartPole-v1").expect("in the table");
    let pixels = PixelsSpec {
        width: 40,
        height: 24,
        crop: Some(Crop { width: 200, height: 120 }),
        ..PixelsSpec::default()
    };
    let mut env = TimeLimit::new(Box::new(Pixels::new(make(&spec), pixels.clone())), None);
    let mut patch = vec![0.0; 40 * 24];
    env.reset(Some(1), &mut patch).expect("a reset");
    for step in 0.. {
        save(&format!("CartPole-v1_crop_{step:02}"), &pixels, &patch);
        // The lowest row holds the cart, about whose middle the pole turns.
        let dark = |column: usize| 255.0 - f64::from(patch[23 * 40 + column]);
        let total: f64 = (0..40).map(dark).sum();
        let middle =
            (0..40).map(|column| (column as f64 + 0.5) * dark(column)).sum::<f64>() / total;
        assert!((middle - 20.0).abs() < 0.2, "step {step}: the cart is at {middle} of 40");
        if env.step(&[1.0], &mut patch).expect("a step").terminated {
            break;
        }
    }
    // In metres, of which 24 pixels of the patch make one.
    assert!(env.env().trace().state[0] > 0.1, "the cart has moved to the right");
}

#[test]
fn differences_and_stacks_are_made_of_patches() {
    let spec = rushes::env::find("MountainCar-v0").expect("in the table");
    let plain = PixelsSpec { width: 30, height: 20, ..PixelsSpec::default() };
    let (patches, ..) = play(look(&spec, &plain), 2, 250);
    let (differences, ..) =
        play(look(&spec, &PixelsSpec { difference: true, ..plain.clone() }), 2, 250);
    let (stacks, ..) = play(look(&spec, &PixelsSpec { stack: 3, ..plain.clone() }), 2, 250);
    let both = PixelsSpec { difference: true, stack: 2, ..plain };
    let (stacked_differences, ..) = play(look(&spec, &both), 2, 250);
    let mut first = 0;
    for i in 0..patches.len() {
        // The time limit of 200 steps ends the first episode.
        if i == 201 {
            first = i;
        }
        let before = |steps: usize| i.saturating_sub(steps).max(first);
        let difference: Vec<f32> = patches[i]
            .iter()
            .zip(&patches[before(1)])
            .map(|(now, before)| (now - before) / 255.0)
            .collect();
        assert_eq!(differences[i], difference, "step {i}");
        let stack = [before(2), before(1), i].map(|i| &patches[i][..]).concat();
        assert_eq!(stacks[i], stack, "step {i}");
        let missing = vec![0.0; difference.len()];
        let older = if i == first { &missing } else { &differences[i - 1] };
        assert_eq!(stacked_differences[i], [&older[..], &difference].concat(), "step {i}");
    }
    assert!(first > 0, "an episode ended");
}

/// Trained, evaluated and filmed from the command line: the takes show the whole picture, and the report
/// names the engine.
#[test]
fn an_agent_trains_on_pixels_beside_a_rule_that_sees_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let agents = r#"agents={
        "rule": { "policy": { "type": "hard-coded", "rule": "if obs[2] < 0.0 { 0 } else { 1 }" } },
        "pixels": {
            "policy": {
                "type": "neural", "hidden": [8],
                "observation": { "type": "pixels", "width": 20, "height": 12 },
                "convolutions": [{ "channels": 4, "kernel": 4, "stride": 2 }]
            },
            "training": { "algorithm": { "name": "reinforce" }, "schedule": { "episodes": 4 } }
        }
    }"#;
    let run = run_smoke(directory.path(), &["--set", agents, "--set", "seeds=[0]"]);
    let trial = TrialDir::new(run.join("trials/pixels--s0"));
    let result: TrialResult = trial.result().expect("a result");
    assert_eq!(result.engine.as_deref(), Some("native"));
    assert_eq!((result.takes[0].take.width, result.takes[0].take.height > 300), (600, true));
    let report = std::fs::read_to_string(run.join("index.html")).expect("a report");
    assert!(report.contains("native"));
}

/// Convolutions look at what CarRacing itself observes, whose numbers are kept as bytes; a perceptron sees the same.
#[test]
fn agents_train_on_the_picture_that_the_environment_observes() {
    let directory = tempfile::tempdir().unwrap();
    let agents = r#"agents={
        "cnn": {
            "policy": {
                "type": "neural", "hidden": [8],
                "convolutions": [{ "channels": 4, "kernel": 12, "stride": 12 }]
            },
            "training": {
                "algorithm": { "name": "dqn", "learning_starts": 8, "buffer_size": 20, "batch_size": 4 },
                "schedule": { "steps": 24, "checkpoint_every": 1 }
            }
        },
        "mlp": {
            "policy": { "type": "neural", "hidden": [4] },
            "training": {
                "algorithm": { "name": "ppo", "n_steps": 12, "batch_size": 6, "n_epochs": 1 },
                "schedule": { "steps": 24 }
            }
        }
    }"#;
    let environment = r#"environment={ "id": "CarRacing-v3", "max_episode_steps": 6, "options": { "continuous": false } }"#;
    let run = run_smoke(
        directory.path(),
        &["--set", environment, "--set", agents, "--set", "seeds=[0]", "--quick"],
    );
    for trial in ["cnn--s0", "mlp--s0"] {
        let result = TrialDir::new(run.join("trials").join(trial)).result().expect("a result");
        assert_eq!(result.progress.steps, 24);
    }
}
