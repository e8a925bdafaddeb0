//! Takes filmed to real files, read back with FFmpeg.

use std::path::Path;
use std::process::Command;
use std::{env as process, fs};

use ffmpeg_next as ffmpeg;
use rand::RngExt as _;
use rushes::env::{self, Mode, Options, Policy, PolicyError, Situation, TimeLimit};
use rushes::record::Take;
use rushes::rng::{self, Purpose, Rng};
use rushes::trial::{Scene, record_take};
use rushes::video::{
    BUILT_IN, Codec, Encoder, EncoderChoice, EncoderConfig, VideoConfig, VideoError, probe,
    probe_file,
};

/// Pushes with the pole's lean.
struct Lean;

impl Policy for Lean {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        _: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        action[0] = if situation.observation[2] < 0.0 { 0.0 } else { 1.0 };
        Ok(())
    }
}

fn scene<'a>(seeds: &'a [u64], agent: &'a str) -> Scene<'a> {
    Scene {
        seeds,
        mode: Mode::Greedy,
        max_steps: None,
        render_fps: 50,
        agent,
        trained_steps: Some(0),
        training_episode: None,
        numbers: None,
        poster: None,
    }
}

fn film(scene: &Scene<'_>, config: &VideoConfig, path: &Path) -> Take {
    let spec = env::find("CartPole-v1").unwrap();
    let env = (spec.make)(&Options::new()).unwrap();
    let mut env = TimeLimit::new(env, spec.max_episode_steps);
    let chance = |seed| rng::stream(0, Purpose::Evaluation, seed);
    record_take(&mut env, &mut Lean, chance, scene, config, path, |_| Ok(())).unwrap()
}

fn config(width: u32, height: u32, codec: Codec) -> EncoderConfig {
    EncoderConfig { width, height, fps: 50, quality: 20, choice: probe(codec).unwrap() }
}

/// The best H.264 encoder of this machine, which is FFmpeg's where there is one, and the one that this program brings.
fn h264(width: u32, height: u32) -> [EncoderConfig; 2] {
    let best = config(width, height, Codec::H264);
    let choice = EncoderChoice { encoder: BUILT_IN.into(), ..best.choice.clone() };
    [EncoderConfig { choice, ..best.clone() }, best]
}

/// Pixels that no encoder can shrink.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

#[test]
fn a_take_holds_one_frame_more_than_steps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("before.mp4");
    let poster = folder.path().join("before.png");
    let scene = Scene { poster: Some(&poster), ..scene(&[7, 8], "lean") };
    let take = film(&scene, &VideoConfig::default(), &path);

    assert_eq!(take.seeds, [7, 8]);
    assert_eq!(take.lengths.len(), 2);
    let steps: u32 = take.lengths.iter().sum();
    assert_eq!(take.frames, u64::from(steps) + 2);
    for ((total, length), rewards) in take.returns.iter().zip(&take.lengths).zip(&take.rewards) {
        assert_eq!(*total, f64::from(*length), "CartPole pays 1 a step");
        assert_eq!(rewards, &vec![1.0; *length as usize]);
    }

    let facts = probe_file(&path).unwrap();
    assert_eq!(facts.codec, "h264");
    // The picture, and the caption's bar above it: two lines, since it counts episodes too.
    assert_eq!((facts.width, facts.height), (600, 458));
    assert_eq!((take.width, take.height), (600, 458));
    assert_eq!(facts.frames, take.frames);
    assert_eq!(take.fps, 50);
    assert!((facts.duration - take.frames as f64 / 50.0).abs() < 1e-3, "{}", facts.duration);
    assert!(facts.faststart);

    let png = png::Decoder::new(std::io::BufReader::new(fs::File::open(&poster).unwrap()));
    let info = png.read_info().unwrap();
    assert_eq!(info.info().size(), (600, 458));
    let mut names: Vec<_> =
        folder.path().read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["before.mp4", "before.png"], "no temporary file is left");
}

/// Fresh memory is filled with another value in each process (by glibc), which finds an encoder that reads
/// memory it never wrote.
#[test]
fn the_same_take_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = ["0", "1", "170"].map(|fill| {
        let path = folder.path().join(format!("{fill}.mp4"));
        let prelude = format!("export MALLOC_PERTURB_={fill} FILM_TO='{}';", path.display());
        alone("video::child_with_filled_memory", &prelude);
        [path.clone(), path.with_extension("built-in.mp4")].map(|path| fs::read(path).unwrap())
    });
    assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2]);
}

#[test]
#[ignore = "started by the_same_take_gives_the_same_bytes"]
fn child_with_filled_memory() {
    let path = process::var_os("FILM_TO").expect("set by the_same_take_gives_the_same_bytes");
    film(&scene(&[7, 8, 9], "lean"), &VideoConfig::default(), path.as_ref());
    let path = Path::new(&path).with_extension("built-in.mp4");
    let mut encoder = Encoder::create(&path, &h264(320, 240)[0]).unwrap();
    let picture = noise(320 * 240 * 4, 3);
    for frame in 0..40 {
        let mut picture = picture.clone();
        picture.rotate_right(frame * 4 * 320);
        encoder.push(&picture).unwrap();
    }
    encoder.finish().unwrap();
}

#[test]
fn steps_size_and_rate_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.mp4");
    let settings =
        VideoConfig { width: Some(151), fps: Some(10), caption: false, ..VideoConfig::default() };
    let scene = Scene { max_steps: Some(4), ..scene(&[7], "lean") };
    let take = film(&scene, &settings, &path);
    assert_eq!(take.lengths, [4]);
    let facts = probe_file(&path).unwrap();
    // 151 × 101 after scaling, then even.
    assert_eq!((facts.width, facts.height, facts.frames), (152, 102, 5));
    assert_eq!((take.width, take.height), (152, 102));
    assert!((facts.duration - 0.5).abs() < 1e-3);
}

#[test]
fn the_other_codecs_work_where_there_is_an_encoder() {
    let folder = tempfile::tempdir().unwrap();
    for codec in [Codec::Vp9, Codec::Av1] {
        if let Err(error) = probe(codec) {
            eprintln!("skipped {}: {error}", codec.name());
            continue;
        }
        let path = folder.path().join(format!("{}.mp4", codec.name()));
        let settings = VideoConfig { codec, ..VideoConfig::default() };
        let scene = Scene { max_steps: Some(30), ..scene(&[7], "lean") };
        let take = film(&scene, &settings, &path);
        assert_eq!(take.codec, codec);
        let facts = probe_file(&path).unwrap();
        assert_eq!(facts.codec, codec.name());
        assert_eq!((facts.frames, facts.faststart), (take.frames, true));
    }
}

/// The first frame of a file, by the decoder alone: planes with their strides.
fn first_frame(path: &Path) -> ffmpeg::frame::Video {
    let mut input = ffmpeg::format::input(path).unwrap();
    let parameters = input.stream(0).unwrap().parameters();
    let context = ffmpeg::codec::Context::from_parameters(parameters).unwrap();
    let mut decoder = context.decoder().video().unwrap();
    let mut frame = ffmpeg::frame::Video::empty();
    let packets: Vec<_> = input.packets().map(|(_, packet)| packet).collect();
    for packet in packets {
        decoder.send_packet(&packet).unwrap();
        if decoder.receive_frame(&mut frame).is_ok() {
            return frame;
        }
    }
    decoder.send_eof().unwrap();
    decoder.receive_frame(&mut frame).unwrap();
    frame
}

/// A pixel as a browser shows it: BT.601, limited range.
fn rgb_at(frame: &ffmpeg::frame::Video, x: usize, y: usize) -> [f64; 3] {
    let sample = |plane: usize, x: usize, y: usize| {
        f64::from(frame.data(plane)[y * frame.stride(plane) + x])
    };
    let luma = (sample(0, x, y) - 16.0) / 219.0;
    let blue = (sample(1, x / 2, y / 2) - 128.0) / 224.0;
    let red = (sample(2, x / 2, y / 2) - 128.0) / 224.0;
    let (r, b) = (luma + 1.402 * red, luma + 1.772 * blue);
    let g = (luma - 0.299 * r - 0.114 * b) / 0.587;
    [r, g, b].map(|channel| channel * 255.0)
}

#[test]
fn colours_come_back_as_drawn() {
    const COLORS: [[u8; 3]; 12] = [
        [255, 255, 255],
        [0, 0, 0],
        [128, 128, 128],
        [202, 152, 101],
        [129, 132, 203],
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [128, 102, 230],
        [76, 153, 76],
        [20, 22, 40],
        [230, 220, 120],
    ];
    let (width, height) = (32 * COLORS.len(), 32);
    let row: Vec<u8> = COLORS.iter().flat_map(|&[r, g, b]| [r, g, b, 255].repeat(32)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("colours.mp4");
    for config in h264(width as u32, height as u32) {
        let mut encoder = Encoder::create(&path, &config).unwrap();
        for _ in 0..5 {
            encoder.push(&row.repeat(height)).unwrap();
        }
        encoder.finish().unwrap();

        let facts = probe_file(&path).unwrap();
        assert_eq!((&*facts.codec, facts.frames, facts.faststart), ("h264", 5, true));
        assert_eq!((facts.width, facts.height), (width as u32, height as u32));
        assert!((facts.duration - 0.1).abs() < 1e-3, "{}", facts.duration);
        let frame = first_frame(&path);
        assert_eq!(frame.color_space(), ffmpeg::color::Space::SMPTE170M);
        assert_eq!(frame.color_range(), ffmpeg::color::Range::MPEG);
        for (index, color) in COLORS.iter().enumerate() {
            let seen = rgb_at(&frame, 32 * index + 16, 16);
            for (seen, drawn) in seen.iter().zip(color) {
                assert!(
                    (seen - f64::from(*drawn)).abs() <= 3.0,
                    "{}: {color:?} came back as {seen:.1?}",
                    config.choice.encoder
                );
            }
        }
    }
}

#[test]
fn the_caption_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let darkness = |caption: bool| {
        let path = folder.path().join(format!("{caption}.mp4"));
        let settings = VideoConfig { caption, ..VideoConfig::default() };
        film(&Scene { max_steps: Some(3), ..scene(&[7], "lean") }, &settings, &path);
        let frame = first_frame(&path);
        // CartPole's top left corner is white.
        (0..60)
            .flat_map(|y| (0..200).map(move |x| (x, y)))
            .fold(0.0, |sum, (x, y)| sum + 255.0 - rgb_at(&frame, x, y)[1].clamp(0.0, 255.0))
            / (60.0 * 200.0)
    };
    let (with, without) = (darkness(true), darkness(false));
    assert!(without < 1.0, "white without a caption: {without}");
    assert!(with > 20.0, "a bar with a caption: {with}");
}

#[test]
fn nothing_is_left_of_a_video_that_was_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("take.mp4");
    for config in h264(64, 64) {
        let mut encoder = Encoder::create(&path, &config).unwrap();
        for seed in 0..20 {
            encoder.push(&noise(64 * 64 * 4, seed)).unwrap();
            assert!(!path.exists(), "no video under its final name while it is written");
        }
        drop(encoder);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

#[test]
fn an_unwritable_place_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("take.mp4");
    let error = Encoder::create(&path, &config(64, 64, Codec::H264)).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("failed to create {}: No such file or directory (os error 2)", path.display())
    );
}

#[test]
fn a_film_replaces_no_device() {
    let error =
        Encoder::create(Path::new("/dev/null"), &config(64, 64, Codec::H264)).err().unwrap();
    assert_eq!(error.to_string(), "failed to create /dev/null: it is no plain file");
}

#[test]
fn impossible_sizes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("take.mp4");
    let base = config(64, 64, Codec::H264);
    for (width, height, fps) in [(0, 64, 50), (64, 5000, 50), (64, 64, 0), (64, 64, 1000)] {
        let config = EncoderConfig { width, height, fps, ..base.clone() };
        let error = Encoder::create(&path, &config).err().unwrap();
        assert!(matches!(error, VideoError::Config { .. }), "{error}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn damaged_files_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mp4");
    film(&Scene { max_steps: Some(30), ..scene(&[7], "lean") }, &VideoConfig::default(), &whole);
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join("damaged.mp4");
    for length in [0, 4, 40, bytes.len() / 4, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = probe_file(&path).unwrap_err();
        assert!(matches!(error, VideoError::Damaged { .. }), "{length} bytes: {error}");
        assert!(error.to_string().contains("damaged.mp4 is not a whole video: "), "{error}");
    }
    fs::write(&path, noise(5000, 1)).unwrap();
    assert!(matches!(probe_file(&path), Err(VideoError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(probe_file(&path), Err(VideoError::Io { .. })));

    // Films come from scripts too: whatever the bytes, they are told of, one way or the other.
    let mut random = rng::stream(0, Purpose::Evaluation, 0);
    for _ in 0..2000 {
        let mut bytes = bytes.clone();
        for _ in 0..random.random_range(1..4) {
            // The index comes first.
            let at = random.random_range(0..1500.min(bytes.len()));
            bytes[at] = random.random();
        }
        fs::write(&path, &bytes).unwrap();
        let _ = probe_file(&path);
    }
}

/// Writes incompressible frames to `path` until that fails, and checks what is left.
fn fill_up(path: &Path, reason: &str) {
    for config in h264(320, 240) {
        let mut encoder = Encoder::create(path, &config).unwrap();
        let result = (0..200)
            .try_for_each(|seed| encoder.push(&noise(320 * 240 * 4, seed)))
            .and_then(|()| encoder.finish());
        let message = result.unwrap_err().to_string();
        assert!(message.contains("take.mp4") && message.contains(reason), "{message}");
        let left: Vec<_> = path.parent().unwrap().read_dir().unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Runs one ignored test of this binary in a process of its own, below an optional shell prelude.
fn alone(test: &str, prelude: &str) {
    let output = Command::new("sh")
        .args(["-c", &format!("{prelude} exec \"$0\" --exact --ignored --nocapture \"$1\"")])
        .arg(process::current_exe().unwrap())
        .arg(test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "{test} was not found: {text}");
    eprint!("{errors}");
}

#[test]
fn a_file_that_may_not_grow_fails_cleanly() {
    // Blocks of 512 bytes or of 1 KiB; without the signal the write fails with an error.
    alone("video::child_with_small_files", "trap '' XFSZ; ulimit -f 400;");
}

#[test]
#[ignore = "started by a_file_that_may_not_grow_fails_cleanly"]
fn child_with_small_files() {
    let folder = tempfile::tempdir().unwrap();
    fill_up(&folder.path().join("take.mp4"), "File too large");
}

#[test]
fn a_full_disk_fails_cleanly_where_one_can_be_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=400k", "tmpfs"])
        .arg(folder.path())
        .output();
    match mount {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            return eprintln!("skipped: no small disk can be mounted: {reason}");
        }
        Err(error) => return eprintln!("skipped: no small disk can be mounted: {error}"),
    }
    let result = std::panic::catch_unwind(|| {
        fill_up(&folder.path().join("take.mp4"), "No space left on device");
    });
    let unmounted = Command::new("umount").arg(folder.path()).status().unwrap();
    assert!(unmounted.success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn memory_does_not_grow_with_the_episode() {
    alone("video::child_with_a_long_take", "");
}

#[test]
#[ignore = "started by memory_does_not_grow_with_the_episode"]
fn child_with_a_long_take() {
    if !Path::new("/proc/self/statm").exists() {
        return eprintln!("skipped: no /proc/self/statm on this system");
    }
    let resident = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096.0 / 1e6
    };
    let folder = tempfile::tempdir().unwrap();
    let (width, height) = (192, 160);
    let path = folder.path().join("long.mp4");
    let mut encoder = Encoder::create(&path, &config(width, height, Codec::H264)).unwrap();
    let mut picture = vec![200; (width * height * 4) as usize];
    let mut after_warm_up = 0.0;
    for frame in 0..20_000_usize {
        let at = frame * 16 % picture.len();
        picture[at..at + 16].fill(frame as u8);
        encoder.push(&picture).unwrap();
        if frame == 500 {
            after_warm_up = resident();
        }
    }
    let growth = resident() - after_warm_up;
    encoder.finish().unwrap();
    assert_eq!(probe_file(&path).unwrap().frames, 20_000);
    // All pictures would be 2,400 MB; the index that goes into the file is about 100 bytes a frame.
    eprintln!("memory grew by {growth:.1} MB over 20,000 frames");
    assert!(growth < 8.0, "memory grew by {growth:.1} MB");
}
