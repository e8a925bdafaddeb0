//! What FFmpeg's encoders are told, by its libraries or by its program.

use crate::backend::Settings;

/// The options of the encoder `name`, as FFmpeg calls them.
pub(crate) fn options(name: &str, settings: &Settings) -> Vec<(&'static str, String)> {
    let &Settings { width, height, fps, quality } = settings;
    match name {
        "libx264" => vec![
            ("preset", "superfast".into()),
            ("x264-params", X264_PARAMS.into()),
            ("crf", quality.to_string()),
        ],
        // Without a constant-quality mode: a quantiser held between narrow bounds.
        "libopenh264" => vec![
            ("rc_mode", "quality".into()),
            ("qmin", quality.saturating_sub(4).max(1).to_string()),
            ("qmax", (quality + 4).min(51).to_string()),
            ("b", (u64::from(width) * u64::from(height) * u64::from(fps) / 8).to_string()),
        ],
        "libvpx-vp9" => realtime("deadline", quality),
        "libaom-av1" => realtime("usage", quality),
        _ => Vec::new(),
    }
}

/// What VP9's and AV1's encoders share; they call the mode by different names.
fn realtime(mode: &'static str, quality: u8) -> Vec<(&'static str, String)> {
    vec![
        (mode, "realtime".into()),
        ("cpu-used", "8".into()),
        ("lag-in-frames", "0".into()),
        ("b", "0".into()),
        // H.264's scale ends at 51, that of VP9 and AV1 at 63.
        ("crf", (u32::from(quality) * 63 / 51).to_string()),
    ]
}

/// For drawn pictures: a quarter faster than plain `superfast` and an eighth larger. No `mbtree`, which the
/// presets from `veryfast` on use: x264 164's vectorised version of it reads memory that it never wrote, and
/// then the same frames do not always give the same file.
const X264_PARAMS: &str = "mbtree=0:me=dia:subme=0";
