//! Which encoder writes the videos: found, and tried, before anything is trained.

use ffmpeg::codec::{self, threading};
use ffmpeg::util::color;
use ffmpeg::{Dictionary, Rational, encoder, format};
use ffmpeg_next as ffmpeg;
use serde::{Deserialize, Serialize};

use super::{Codec, VideoError};

/// Encoders that browsers can play the output of, best first. Hardware encoders are left out: whether they
/// open depends on the machine's devices, and their output differs from one to the next. So is `mpeg4`,
/// which every FFmpeg has and no browser plays, and `libsvtav1`, which hangs when it is closed before its
/// first frame (SVT-AV1 1.4).
const ENCODERS: &[(Codec, &str)] = &[
    (Codec::H264, "libx264"),
    (Codec::H264, "libopenh264"),
    (Codec::Vp9, "libvpx-vp9"),
    (Codec::Av1, "libaom-av1"),
];

/// The encoder that will be used, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderChoice {
    /// The compression format; never [`Codec::Auto`].
    pub codec: Codec,
    /// FFmpeg's name of the encoder, for example `libx264`.
    pub encoder: String,
    /// Why this is not the encoder one would have expected, for a reader; `None` where it is.
    pub note: Option<String>,
}

/// Finds an encoder for `codec` and opens it once, so that a machine that cannot write videos is found out
/// before training starts. Takes a few milliseconds.
///
/// # Errors
/// [`VideoError::NoEncoder`] where this machine's FFmpeg has none that works.
pub fn probe(codec: Codec) -> Result<EncoderChoice, VideoError> {
    super::init();
    choose(codec, |name| open(name, &Settings::TRIAL).is_ok())
}

fn choose(codec: Codec, works: impl Fn(&str) -> bool) -> Result<EncoderChoice, VideoError> {
    let wanted: Vec<_> = ENCODERS
        .iter()
        .copied()
        .filter(|&(format, _)| codec == Codec::Auto || codec == format)
        .collect();
    let names = || wanted.iter().map(|&(_, name)| name);
    let found = wanted
        .iter()
        .position(|&(_, name)| works(name))
        .ok_or_else(|| VideoError::NoEncoder { codec, tried: names().collect() })?;
    let (codec, name) = wanted[found];
    let note = (found > 0).then(|| {
        let missing: Vec<_> = names().take(found).collect();
        format!("videos are written by {name}: this FFmpeg has no working {}", missing.join(", "))
    });
    Ok(EncoderChoice { codec, encoder: name.to_owned(), note })
}

/// What an encoder is opened with.
pub(super) struct Settings {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub quality: u8,
}

impl Settings {
    const TRIAL: Settings = Settings { width: 64, height: 64, fps: 25, quality: 20 };
}

/// Opens the encoder `name`: one thread (the same input gives the same bytes on every machine), no frames
/// out of order, and a key frame at least every second, so that scrubbing in a browser is quick.
pub(super) fn open(
    name: &str,
    settings: &Settings,
) -> Result<encoder::video::Encoder, ffmpeg::Error> {
    let &Settings { width, height, fps, quality } = settings;
    let codec = encoder::find_by_name(name).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut context = codec::Context::new_with_codec(codec);
    context.set_threading(threading::Config { count: 1, ..threading::Config::default() });
    context.set_flags(codec::Flags::GLOBAL_HEADER);
    let mut video = context.encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(format::Pixel::YUV420P);
    video.set_time_base(Rational(1, fps as i32));
    video.set_frame_rate(Some(Rational(fps as i32, 1)));
    video.set_gop(fps);
    video.set_max_b_frames(0);
    // What `yuv.rs` writes (BT.601's coefficients), and sRGB's primaries and transfer curve: browsers show
    // the colours that were drawn.
    video.set_colorspace(color::Space::SMPTE170M);
    video.set_color_range(color::Range::MPEG);
    video.set_color_primaries(color::Primaries::BT709);
    video.set_color_transfer_characteristic(color::TransferCharacteristic::IEC61966_2_1);

    let mut options = Dictionary::new();
    // H.264's scale ends at 51, that of VP9 and AV1 at 63.
    let wide_crf = (u32::from(quality) * 63 / 51).to_string();
    match name {
        "libx264" => {
            options.set("preset", "superfast");
            options.set("x264-params", X264_PARAMS);
            options.set("crf", &quality.to_string());
        }
        "libopenh264" => {
            // Without a constant-quality mode: a quantiser held between narrow bounds.
            options.set("rc_mode", "quality");
            options.set("qmin", &quality.saturating_sub(4).max(1).to_string());
            options.set("qmax", &(quality + 4).min(51).to_string());
            video.set_bit_rate((width * height * fps) as usize / 8);
        }
        "libvpx-vp9" => {
            options.set("deadline", "realtime");
            options.set("cpu-used", "8");
            options.set("lag-in-frames", "0");
            options.set("b", "0");
            options.set("crf", &wide_crf);
        }
        "libaom-av1" => {
            options.set("usage", "realtime");
            options.set("cpu-used", "8");
            options.set("lag-in-frames", "0");
            options.set("b", "0");
            options.set("crf", &wide_crf);
        }
        _ => {}
    }
    video.open_as_with(codec, options)
}

/// For drawn pictures: a quarter faster than plain `superfast` and an eighth larger. No `mbtree`, which the
/// presets from `veryfast` on use: x264 164's vectorised version of it reads memory that it never wrote, and
/// then the same frames do not always give the same file.
const X264_PARAMS: &str = "mbtree=0:me=dia:subme=0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_encoder_there_is_wins() {
        let choice = choose(Codec::Auto, |_| true).unwrap();
        assert_eq!((choice.codec, &*choice.encoder), (Codec::H264, "libx264"));
        assert_eq!(choice.note, None);
    }

    #[test]
    fn a_fallback_says_so() {
        let choice = choose(Codec::Auto, |name| name == "libvpx-vp9").unwrap();
        assert_eq!(choice.codec, Codec::Vp9);
        assert_eq!(
            choice.note.unwrap(),
            "videos are written by libvpx-vp9: this FFmpeg has no working libx264, libopenh264"
        );
    }

    #[test]
    fn an_explicit_codec_is_never_replaced_by_another() {
        assert_eq!(choose(Codec::Vp9, |_| true).unwrap().encoder, "libvpx-vp9");
        let error = choose(Codec::H264, |name| name == "libvpx-vp9").unwrap_err();
        assert_eq!(
            error.to_string(),
            "this FFmpeg has no working encoder for h264 videos (tried libx264, libopenh264): \
             install an FFmpeg with one of them, choose another \"codec\", or switch recording off"
        );
    }
}
