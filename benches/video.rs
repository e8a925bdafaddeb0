//! Where the time of a frame goes: drawing, captioning, conversion, encoding.

use criterion::{Criterion, criterion_group, criterion_main};
use rushes::env::draw::Canvas;
use rushes::env::{self, Options};
use rushes::video::yuv::{self, Planes};
use rushes::video::{Caption, CaptionInfo, Codec, Encoder, EncoderConfig, probe};

fn video(c: &mut Criterion) {
    let (width, height) = (600, 400);
    let spec = env::find("CartPole-v1").expect("CartPole-v1 is in the table");
    let mut env = (spec.make)(&Options::new()).expect("no options");
    env.reset(Some(0)).expect("a reset");
    let mut canvas = Canvas::new(width, height);
    let mut group = c.benchmark_group("video 600x400");

    group.bench_function("draw CartPole", |b| b.iter(|| env.draw(&mut canvas)));

    let info = CaptionInfo {
        agent: "reinforce".into(),
        trained_steps: Some(12_000),
        training_episode: None,
        episodes: 1,
    };
    let mut caption = Caption::new(&info, width, height);
    let bar = caption.bar_height();
    let mut frame = vec![0; (width * (height + bar) * 4) as usize];
    let picture = (width * bar * 4) as usize;
    group.bench_function("caption", |b| {
        b.iter(|| {
            frame[picture..].copy_from_slice(canvas.rgba());
            caption.draw(&mut frame, 0, 21.0);
        });
    });

    let (mut y, mut u, mut v) = (vec![0; 600 * 400], vec![0; 300 * 200], vec![0; 300 * 200]);
    group.bench_function("RGBA to YUV", |b| {
        b.iter(|| {
            let planes = Planes { y: (&mut y, 600), u: (&mut u, 300), v: (&mut v, 300) };
            yuv::from_rgba(canvas.rgba(), 600, planes);
        });
    });

    let folder = tempfile::tempdir().expect("a temporary folder");
    let choice = probe(Codec::Auto).expect("an encoder");
    let config = EncoderConfig { width, height: height + bar, fps: 50, quality: 20, choice };
    let mut encoder =
        Encoder::create(&folder.path().join("bench.mp4"), &config).expect("a new video");
    let mut step = 0;
    group.bench_function("draw, caption, encode", |b| {
        b.iter(|| {
            step += 1;
            let action = env::Action::Discrete(step / 3 % 2);
            env.step(action).expect("a step");
            if step % 20 == 0 {
                env.reset(None).expect("a reset");
            }
            env.draw(&mut canvas);
            frame[picture..].copy_from_slice(canvas.rgba());
            caption.draw(&mut frame, 0, step as f64);
            encoder.push(&frame).expect("an encoded frame");
        });
    });
    group.finish();
}

criterion_group!(benches, video);
criterion_main!(benches);
