//! Which encoder writes the videos: found, and tried, before anything is trained.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Settings};
#[cfg(feature = "ffmpeg")]
use crate::libav as ffmpeg;
#[cfg(feature = "openh264")]
use crate::openh264;
#[cfg(not(feature = "ffmpeg"))]
use crate::program as ffmpeg;
use crate::{Codec, EncoderFailure, VideoError};

/// The encoder inside of this program; all other names are FFmpeg's.
pub const BUILT_IN: &str = "openh264";

/// Encoders that browsers can play the output of, best first. Hardware encoders are left out: whether they
/// open depends on the machine's devices, and their output differs from one to the next. So is `mpeg4`,
/// which every FFmpeg has and no browser plays, and `libsvtav1`, which hangs when it is closed before its
/// first frame (SVT-AV1 1.4).
const ENCODERS: &[(Codec, &str)] = &[
    (Codec::H264, "libx264"),
    (Codec::H264, "libopenh264"),
    (Codec::H264, BUILT_IN),
    (Codec::Vp9, "libvpx-vp9"),
    (Codec::Av1, "libaom-av1"),
];

/// How a sentence begins that says which of the encoders that are not built in are missing.
pub(crate) const NO_WORKING: &str = if cfg!(feature = "ffmpeg") {
    "this FFmpeg has no working"
} else {
    "there is no program ffmpeg with a working"
};

/// The encoder that will be used, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderChoice {
    /// The compression format; never [`Codec::Auto`].
    pub codec: Codec,
    /// FFmpeg's name of the encoder, for example `libx264`, or [`BUILT_IN`].
    pub encoder: String,
    /// Why this is not the encoder one would have expected, for a reader; `None` where it is.
    pub note: Option<String>,
}

/// Finds an encoder for `codec` and opens it once, so that a machine that cannot write videos is found out
/// before training starts. Takes a few milliseconds.
///
/// # Errors
/// [`VideoError::NoEncoder`] where there is none that works.
pub fn probe(codec: Codec) -> Result<EncoderChoice, VideoError> {
    choose(
        codec,
        |name| if name == BUILT_IN { cfg!(feature = "openh264") } else { ffmpeg::works(name) },
    )
}

fn choose(codec: Codec, works: impl Fn(&'static str) -> bool) -> Result<EncoderChoice, VideoError> {
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
        format!("videos are written by {name}: {NO_WORKING} {}", missing.join(", "))
    });
    Ok(EncoderChoice { codec, encoder: name.to_owned(), note })
}

/// Starts a film at `path` with the encoder called `name`.
pub(crate) fn open(
    name: &str,
    path: &Path,
    settings: &Settings,
) -> Result<Box<dyn Backend>, EncoderFailure> {
    match name {
        #[cfg(feature = "openh264")]
        BUILT_IN => openh264::open(path, settings),
        _ => ffmpeg::open(name, path, settings),
    }
}

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
            format!(
                "videos are written by libvpx-vp9: {NO_WORKING} libx264, libopenh264, openh264"
            )
        );
    }

    #[test]
    fn an_explicit_codec_is_never_replaced_by_another() {
        assert_eq!(choose(Codec::Vp9, |_| true).unwrap().encoder, "libvpx-vp9");
        let error = choose(Codec::H264, |name| name == "libvpx-vp9").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{NO_WORKING} encoder for h264 videos (tried libx264, libopenh264, openh264): install an \
                 FFmpeg with one of them, choose another \"codec\", or switch recording off"
            )
        );
    }
}
