//! What a finished video file holds, and whether it is whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ffmpeg::{format, media};
use ffmpeg_next as ffmpeg;
use serde::{Deserialize, Serialize};

use super::VideoError;

/// Facts about a video file, read without decoding it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// The compression format by FFmpeg's name, for example `h264`.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames, counted.
    pub frames: u64,
    /// Length in seconds.
    pub duration: f64,
    /// The pixel format by FFmpeg's name, for example `yuv420p`.
    pub pix_fmt: String,
    /// Whether the index precedes the pictures, so that a browser can play before it has read everything.
    pub faststart: bool,
}

/// Reads a whole MP4 file and tells what is in it.
///
/// # Errors
/// [`VideoError::Io`] where it cannot be read, [`VideoError::Damaged`] where it is cut off, empty or no
/// video.
pub fn probe_file(path: &Path) -> Result<VideoFacts, VideoError> {
    super::init();
    let damaged = |reason: String| VideoError::Damaged { path: path.to_owned(), reason };
    let faststart = faststart(path)?;

    let mut input = format::input(&super::url(path)?).map_err(|e| damaged(e.to_string()))?;
    let stream = input
        .streams()
        .best(media::Type::Video)
        .ok_or_else(|| damaged("it has no video stream".to_owned()))?;
    let (index, listed) = (stream.index(), stream.frames());
    let duration = stream.duration() as f64 * f64::from(stream.time_base());
    let decoder = ffmpeg::codec::Context::from_parameters(stream.parameters())
        .and_then(|context| context.decoder().video())
        .map_err(|e| damaged(e.to_string()))?;

    let mut frames = 0;
    for (stream, packet) in input.packets() {
        if stream.index() == index {
            if packet.is_corrupt() {
                return Err(damaged(format!("frame {frames} is cut off")));
            }
            frames += 1;
        }
    }
    if listed != frames {
        return Err(damaged(format!("its index lists {listed} frames, it holds {frames}")));
    }
    let pix_fmt = decoder.format().descriptor().map_or("unknown", |d| d.name());
    Ok(VideoFacts {
        codec: decoder.id().name().to_owned(),
        width: decoder.width(),
        height: decoder.height(),
        frames: frames as u64,
        duration,
        pix_fmt: pix_fmt.to_owned(),
        faststart,
    })
}

/// Walks over the boxes at the top of an MP4 file: whether `moov` comes before `mdat`, and that the last box
/// ends where the file does.
fn faststart(path: &Path) -> Result<bool, VideoError> {
    let failed = || VideoError::io("read", path);
    let damaged =
        |reason: &str| VideoError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let mut file = File::open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    let (mut index, mut data) = (None, None);
    let mut at = 0;
    while at < length {
        // Size and name, then the true size where the first says 1.
        let mut header = [0; 16];
        let wanted = header.len().min((length - at) as usize);
        file.seek(SeekFrom::Start(at)).map_err(failed())?;
        file.read_exact(&mut header[..wanted]).map_err(failed())?;
        let size = match u32::from_be_bytes(header[..4].try_into().expect("four bytes")) {
            0 => length - at,
            1 => u64::from_be_bytes(header[8..].try_into().expect("eight bytes")),
            size => u64::from(size),
        };
        match &header[4..8] {
            b"moov" => index = Some(at),
            b"mdat" => data = Some(at),
            _ => {}
        }
        if size < 8 || size > length - at {
            return Err(damaged("it is cut off, or not an MP4 file"));
        }
        at += size;
    }
    match (index, data) {
        (Some(index), Some(data)) => Ok(index < data),
        (None, _) => Err(damaged("it has no index")),
        (_, None) => Err(damaged("it has no pictures")),
    }
}
