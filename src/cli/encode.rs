//! `rushes encode FILE`: pictures from standard input to a video as takes are.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use fs_err as fs;

use crate::env::draw::png;
use crate::exit::Exit;
use crate::video::{Codec, Encoder, EncoderConfig, SIDES, probe};

const CODECS: [Codec; 4] = [Codec::Auto, Codec::H264, Codec::Vp9, Codec::Av1];

/// Encode pictures from standard input as takes are encoded: an MP4 file that browsers play, and a PNG of its first
/// picture beside it. Training scripts film with it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The MP4 file to write.
    file: PathBuf,
    /// The width of the pictures in pixels. Each is width × height × 3 bytes: red, green, blue, row by row.
    #[arg(long, value_parser = side())]
    width: u32,
    /// Their height.
    #[arg(long, value_parser = side())]
    height: u32,
    /// Pictures a second.
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// The compression format.
    #[arg(long, default_value = "auto", value_parser = codecs())]
    codec: Codec,
    /// Constant quality, 1 (best) to 51.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=51))]
    quality: u8,
}

fn side() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(*SIDES.start())..=i64::from(*SIDES.end()))
}

fn codecs() -> impl clap::builder::TypedValueParser<Value = Codec> {
    PossibleValuesParser::new(CODECS.map(Codec::name)).map(|name| {
        CODECS.into_iter().find(|codec| codec.name() == name).expect("one of these names")
    })
}

/// Encodes what comes.
///
/// # Errors
/// Fails if there is no picture, the last one is cut off, or a file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let &Args { ref file, width, height, fps, codec, quality } = args;
    let choice = probe(codec)?;
    let mut encoder =
        Encoder::create(file, &EncoderConfig { width, height, fps, quality, choice })?;
    let mut input = BufReader::new(io::stdin().lock());
    let pixels = (width * height) as usize;
    let (mut rgb, mut rgba) = (Vec::new(), vec![u8::MAX; pixels * 4]);
    let mut pictures = 0;
    loop {
        rgb.clear();
        input.by_ref().take(pixels as u64 * 3).read_to_end(&mut rgb)?;
        if rgb.is_empty() {
            break;
        }
        anyhow::ensure!(
            rgb.len() == pixels * 3,
            "picture {pictures} is cut off: expected {} bytes, found {}",
            pixels * 3,
            rgb.len()
        );
        for (from, to) in rgb.chunks_exact(3).zip(rgba.chunks_exact_mut(4)) {
            to[..3].copy_from_slice(from);
        }
        if pictures == 0 {
            let poster = file.with_extension("png");
            fs::write(&poster, png(&rgba, width, height)).context("failed to write the poster")?;
        }
        encoder.push(&rgba)?;
        pictures += 1;
    }
    anyhow::ensure!(pictures > 0, "expected pictures on standard input, found none");
    encoder.finish()?;
    Ok(Exit::Success)
}
