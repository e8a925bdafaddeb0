//! What a finished video file holds, and whether it is whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use mp4_atom::{Codec, Decode as _, FourCC, Moov, StszSamples};
use serde::{Deserialize, Serialize};

use crate::VideoError;

/// Facts about a video file, read without decoding it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// The compression format by FFmpeg's name: `h264`, `vp9` or `av1`. Of a film in another one nothing else is told.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames, counted.
    pub frames: u64,
    /// Length in seconds.
    pub duration: f64,
    /// Whether the index precedes the pictures, so that a browser can play before it has read everything.
    pub faststart: bool,
}

/// Reads a whole MP4 file and tells what is in it.
///
/// # Errors
/// [`VideoError::Io`] where it cannot be read, [`VideoError::Damaged`] where it is cut off, empty or no
/// video.
pub fn probe_file(path: &Path) -> Result<VideoFacts, VideoError> {
    let damaged = |reason: String| VideoError::Damaged { path: path.to_owned(), reason };
    let boxes = boxes(path)?;
    let moov = Moov::decode(&mut &*boxes.index).map_err(|error| damaged(error.to_string()))?;
    let (media, codec) = (moov.trak.iter())
        .filter(|track| track.mdia.hdlr.handler == FourCC::new(b"vide"))
        .find_map(|track| Some((&track.mdia, track.mdia.minf.stbl.stsd.codecs.first()?)))
        .ok_or_else(|| damaged("it has no video stream".to_owned()))?;
    // FFmpeg's names.
    let (name, visual) = match codec {
        Codec::Avc1(codec) => ("h264", &codec.visual),
        Codec::Vp09(codec) => ("vp9", &codec.visual),
        Codec::Av01(codec) => ("av1", &codec.visual),
        other => {
            let text = format!("{other:?}");
            let name = text.split('(').next().unwrap_or_default().to_lowercase();
            return Ok(VideoFacts { codec: name, ..VideoFacts::default() });
        }
    };
    let (frames, bytes) = match &media.minf.stbl.stsz.samples {
        &StszSamples::Identical { count, size } => {
            (u64::from(count), u64::from(count) * u64::from(size))
        }
        StszSamples::Different { sizes } => {
            (sizes.len() as u64, sizes.iter().map(|&size| u64::from(size)).sum())
        }
    };
    if bytes > boxes.pictures {
        let held = boxes.pictures;
        return Err(damaged(format!("its index lists {bytes} bytes of pictures, it holds {held}")));
    }
    if frames == 0 || media.mdhd.timescale == 0 {
        return Err(damaged("it has no pictures".to_owned()));
    }
    Ok(VideoFacts {
        codec: name.to_owned(),
        width: u32::from(visual.width),
        height: u32::from(visual.height),
        frames,
        duration: media.mdhd.duration as f64 / f64::from(media.mdhd.timescale),
        faststart: boxes.index_comes_first,
    })
}

/// What is at the top of an MP4 file.
struct Boxes {
    /// The box `moov`, whole.
    index: Vec<u8>,
    /// Whether it comes before the pictures.
    index_comes_first: bool,
    /// Bytes of pictures.
    pictures: u64,
}

/// Walks over the boxes at the top of an MP4 file; the last one has to end where the file does.
fn boxes(path: &Path) -> Result<Boxes, VideoError> {
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
        if size < 8 || size > length - at {
            return Err(damaged("it is cut off, or not an MP4 file"));
        }
        match &header[4..8] {
            b"moov" => index = Some((at, size)),
            b"mdat" => data = Some((at, size)),
            _ => {}
        }
        at += size;
    }
    let (at, size) = index.ok_or_else(|| damaged("it has no index"))?;
    let (data, pictures) = data.ok_or_else(|| damaged("it has no pictures"))?;
    let mut index = Vec::new();
    file.seek(SeekFrom::Start(at)).map_err(failed())?;
    file.take(size).read_to_end(&mut index).map_err(failed())?;
    Ok(Boxes { index, index_comes_first: at < data, pictures })
}
