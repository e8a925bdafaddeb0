//! Drawings beside Gymnasium's frames of the same states.
//!
//! Rasterisers differ at edges, so pictures (and CarRacing's observations) are compared by the mean difference of
//! their pixels; the toy worlds have sprites of their own without textures, so theirs are compared in blocks of 10
//! by 10 pixels. Each rendered frame is left in `target/tmp` for the eye.

use std::path::{Path, PathBuf};

use rushes::env::draw::Canvas;
use rushes::env::spec::{CLASSIC_CONTROL, TOY_TEXT};
use rushes::env::{self, Options, TimeLimit};
use serde_json::Value;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/frames")
}

/// The RGB bytes of a PNG.
fn read(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a small picture")];
    let info = reader.next_frame(&mut bytes).expect("one picture");
    assert_eq!(info.color_type, png::ColorType::Rgb, "{}", path.display());
    bytes
}

fn write(path: &Path, canvas: &Canvas) {
    let file = std::fs::File::create(path).expect("a writable target/tmp");
    let mut encoder = png::Encoder::new(file, canvas.width(), canvas.height());
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(canvas.rgba()).expect("the picture");
}

/// The channels' means over squares of `side` pixels.
fn blocks(rgb: &[u8], width: usize, side: usize) -> Vec<f64> {
    let columns = width.div_ceil(side);
    let rows = (rgb.len() / 3 / width).div_ceil(side);
    let mut sums = vec![(0.0, 0); 3 * rows * columns];
    for (i, &byte) in rgb.iter().enumerate() {
        let (pixel, channel) = (i / 3, i % 3);
        let (row, column) = (pixel / width / side, pixel % width / side);
        let (sum, count) = &mut sums[3 * (row * columns + column) + channel];
        *sum += f64::from(byte);
        *count += 1;
    }
    sums.into_iter().map(|(sum, count)| sum / f64::from(count)).collect()
}

#[test]
fn frames_look_like_gymnasiums() {
    let index = std::fs::read_to_string(goldens().join("index.json")).expect("an index");
    let index: Value = serde_json::from_str(&index).expect("valid JSON");
    let frames = index["frames"].as_array().expect("a list");
    assert!(!frames.is_empty());
    for frame in frames {
        let (id, name) = (frame["env"].as_str().unwrap(), frame["file"].as_str().unwrap());
        let spec = env::find(id).unwrap_or_else(|| panic!("{id} is in the table"));
        let mut env =
            TimeLimit::new((spec.make)(&Options::new()).expect(id), spec.max_episode_steps);
        let mut observation = vec![0.0; env.env().observation_space().len()];
        env.reset(Some(42), &mut observation).expect(id);
        for action in frame["actions"].as_array().unwrap() {
            let action: Vec<f32> = match action {
                Value::Array(list) => list.iter().map(|v| v.as_f64().unwrap() as f32).collect(),
                value => vec![value.as_f64().unwrap() as f32],
            };
            if env.step(&action, &mut observation).expect(id).done() {
                env.reset(None, &mut observation).expect(id);
            }
        }
        let (width, height) = env.env().frame_size();
        let mut canvas = Canvas::new(width, height);
        env.env().draw(&mut canvas);
        write(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), &canvas);

        let drawn: Vec<u8> = canvas.rgba().chunks_exact(4).flat_map(|p| p[..3].to_vec()).collect();
        let (block, limit) = match spec.family.as_str() {
            CLASSIC_CONTROL => (1, 0.35),
            TOY_TEXT => (10, 9.0),
            _ => (1, 1.5),
        };
        check_likeness(name, &drawn, width as usize, block, limit);
        if let Some(name) = frame.get("state_file").and_then(Value::as_str) {
            let seen: Vec<u8> = observation.iter().map(|&value| value as u8).collect();
            check_likeness(name, &seen, 96, 1, 0.5);
        }
    }
}

/// Holds a drawn picture against a recorded one: the mean difference of blocks of `block` by `block` pixels.
fn check_likeness(name: &str, drawn: &[u8], width: usize, block: usize, limit: f64) {
    let expected = read(&goldens().join(name));
    assert_eq!(drawn.len(), expected.len(), "{name}: another size");
    let (drawn, expected) = (blocks(drawn, width, block), blocks(&expected, width, block));
    let sum: f64 = drawn.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum();
    let mean = sum / drawn.len() as f64;
    println!("{name}: {mean:.3}");
    assert!(mean < limit, "{name}: pixels differ by {mean:.3} of 255 in the mean");
}
