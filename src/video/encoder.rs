//! Writes one MP4 file, frame by frame.

use std::fs;
use std::path::{Path, PathBuf};

use ffmpeg::{Dictionary, Packet, Rational, encoder, format, frame};
use ffmpeg_next as ffmpeg;

use super::codec::{Settings, open};
use super::config::{RATES, SIDES};
use super::yuv::{self, Planes};
use super::{EncoderChoice, VideoError};

/// What a video looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Width of the pictures in pixels. 4:2:0 needs even sides: an odd one gets its last column doubled.
    pub width: u32,
    /// Height of the pictures in pixels, likewise.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Constant quality, 1 (best) to 51.
    pub quality: u8,
    /// Who encodes; see [`super::probe`].
    pub choice: EncoderChoice,
}

/// An MP4 file being written.
///
/// Frames go to the disk as they come. The file grows under a temporary name beside its final one and takes
/// that name only in [`Encoder::finish`], when it is whole and on the disk: there is never half a video
/// under a video's name. An encoder dropped before that removes what it wrote.
pub struct Encoder {
    // Fields drop in this order: FFmpeg closes the file before it is removed.
    output: format::context::Output,
    video: encoder::video::Encoder,
    frame: frame::Video,
    packet: Packet,
    part: PartFile,
    width: usize,
    height: usize,
    /// An even-sized copy of the picture where a side is odd, empty otherwise.
    padded: Vec<u8>,
    time_base: Rational,
    frames: i64,
}

impl Encoder {
    /// Starts a video that will be at `path`, an existing folder's future `.mp4` file.
    ///
    /// # Errors
    /// Fails if the file cannot be created or the encoder refuses the size; nothing is left behind.
    pub fn create(path: &Path, config: &EncoderConfig) -> Result<Self, VideoError> {
        super::init();
        let &EncoderConfig { width, height, fps, quality, ref choice } = config;
        let refuse = |expected| Err(VideoError::Config { width, height, fps, expected });
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            return refuse("width and height must be 16 to 4096");
        }
        if !RATES.contains(&fps) {
            return refuse("the frame rate must be 1 to 240");
        }
        let (even_width, even_height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let settings =
            Settings { width: even_width, height: even_height, fps, quality: quality.clamp(1, 51) };

        let part = PartFile::create(path)?;
        let failed = |action| VideoError::ffmpeg(action, path);
        let url = super::url(&part.path)?;
        let mut output = loop {
            // FFmpeg makes an interrupted system call again when it writes, but not when it opens.
            match format::output_as(&url, "mp4") {
                Err(ffmpeg::Error::Other { errno: ffmpeg::error::EINTR }) => {}
                opened => break opened.map_err(failed("create"))?,
            }
        };
        let video = open(&choice.encoder, &settings).map_err(failed("start the encoder for"))?;
        output
            .add_stream_with(&video)
            .map_err(failed("add a video stream to"))?
            .set_time_base(Rational(1, fps as i32));
        let mut options = Dictionary::new();
        options.set("movflags", "+faststart");
        output.write_header_with(options).map_err(failed("write the header of"))?;

        let time_base = output.stream(0).map_or(Rational(1, fps as i32), |s| s.time_base());
        let frame = frame::Video::new(format::Pixel::YUV420P, even_width, even_height);
        let padded = if (even_width, even_height) == (width, height) {
            Vec::new()
        } else {
            vec![0; (even_width * even_height * 4) as usize]
        };
        Ok(Self {
            output,
            video,
            frame,
            packet: Packet::empty(),
            part,
            width: width as usize,
            height: height as usize,
            padded,
            time_base,
            frames: 0,
        })
    }

    /// Encodes one picture: width × height × 4 bytes, red, green, blue, alpha (ignored), no gaps.
    ///
    /// # Errors
    /// Fails if the disk is full or the encoder fails. The encoder is of no use after that: drop it.
    ///
    /// # Panics
    /// Panics if `rgba` is not one whole picture.
    pub fn push(&mut self, rgba: &[u8]) -> Result<(), VideoError> {
        assert_eq!(rgba.len(), self.width * self.height * 4, "one whole picture");
        // The encoder may still hold the last frame: then FFmpeg gives this one memory of its own.
        // SAFETY: `frame` owns a valid AVFrame.
        let writable = unsafe { ffmpeg::ffi::av_frame_make_writable(self.frame.as_mut_ptr()) };
        if writable < 0 {
            return Err(VideoError::ffmpeg("encode a frame of", &self.part.target)(
                writable.into(),
            ));
        }
        let rgba = if self.padded.is_empty() {
            rgba
        } else {
            pad(rgba, self.width, self.height, &mut self.padded);
            &self.padded
        };
        convert(rgba, &mut self.frame);
        self.frame.set_pts(Some(self.frames));
        self.frames += 1;
        self.video
            .send_frame(&self.frame)
            .map_err(VideoError::ffmpeg("encode a frame of", &self.part.target))?;
        self.write_packets()
    }

    /// Frames pushed so far.
    pub fn frames(&self) -> u64 {
        self.frames as u64
    }

    /// The size of the video: that of the pictures, each side made even.
    pub fn size(&self) -> (u32, u32) {
        (self.frame.width(), self.frame.height())
    }

    /// Completes the file, puts it on the disk and gives it its name.
    ///
    /// # Errors
    /// As [`Encoder::push`]; nothing is left behind.
    pub fn finish(mut self) -> Result<(), VideoError> {
        let target = self.part.target.clone();
        self.video.send_eof().map_err(VideoError::ffmpeg("finish encoding", &target))?;
        self.write_packets()?;
        self.output.write_trailer().map_err(VideoError::ffmpeg("write the end of", &target))?;
        let Self { output, part, .. } = self;
        drop(output);
        part.persist()
    }

    fn write_packets(&mut self) -> Result<(), VideoError> {
        loop {
            match self.video.receive_packet(&mut self.packet) {
                Ok(()) => {}
                // More input wanted, or all is out.
                Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN } | ffmpeg::Error::Eof) => {
                    return Ok(());
                }
                Err(error) => {
                    return Err(VideoError::ffmpeg("encode", &self.part.target)(error));
                }
            }
            self.packet.set_stream(0);
            self.packet.set_duration(1);
            self.packet.rescale_ts(self.video.time_base(), self.time_base);
            self.packet
                .write_interleaved(&mut self.output)
                .map_err(VideoError::ffmpeg("write", &self.part.target))?;
        }
    }
}

fn convert(rgba: &[u8], frame: &mut frame::Video) {
    let width = frame.width() as usize;
    let strides = [0, 1, 2].map(|plane| frame.stride(plane));
    let lengths = [0, 1, 2].map(|plane| strides[plane] * frame.plane_height(plane) as usize);
    // SAFETY: three planes of one frame that is ours alone to write, each of that many bytes.
    let [y, u, v] = unsafe {
        let data = (*frame.as_mut_ptr()).data;
        [0, 1, 2].map(|plane| std::slice::from_raw_parts_mut(data[plane], lengths[plane]))
    };
    let planes = Planes { y: (y, strides[0]), u: (u, strides[1]), v: (v, strides[2]) };
    yuv::from_rgba(rgba, width, planes);
}

/// Copies a picture into one with even sides, doubling the last column and row where needed.
fn pad(rgba: &[u8], width: usize, height: usize, padded: &mut [u8]) {
    let row = width.next_multiple_of(2) * 4;
    for (y, to) in padded.chunks_exact_mut(row).enumerate() {
        let from = y.min(height - 1) * width * 4;
        let from = &rgba[from..from + width * 4];
        to[..width * 4].copy_from_slice(from);
        to[width * 4..].copy_from_slice(&from[width * 4 - (row - width * 4)..]);
    }
}

/// The file under its temporary name; removed when dropped before it was given its own.
struct PartFile {
    path: PathBuf,
    target: PathBuf,
    persisted: bool,
}

impl PartFile {
    /// The name is fixed, so that what a killed process left is overwritten by the next.
    fn create(target: &Path) -> Result<Self, VideoError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        fs::File::create(&path).map_err(VideoError::io("create", target))?;
        Ok(Self { path, target: target.to_owned(), persisted: false })
    }

    /// Bytes to the disk, then the name, then the folder, so that the name never precedes the bytes.
    fn persist(mut self) -> Result<(), VideoError> {
        let failed = VideoError::io("save", &self.target);
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.path, &self.target))
            .and_then(|()| fs::File::open(folder)?.sync_all())
            .map_err(failed)?;
        self.persisted = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.persisted {
            let _ = fs::remove_file(&self.path);
        }
    }
}
