//! FFmpeg's libraries, linked into this program (the feature `ffmpeg`).

use std::path::Path;
use std::sync::Once;

use ffmpeg::codec::{self, threading};
use ffmpeg::util::color;
use ffmpeg::{Dictionary, Packet, Rational, encoder, format, frame};
use ffmpeg_next as ffmpeg;

use crate::EncoderFailure;
use crate::backend::{Backend, Settings};
use crate::ffmpeg_options::options;
use crate::yuv::{self, Planes};

/// An encoder of libavcodec and libavformat's MP4 file that its packets go to.
struct Libav {
    // Fields drop in this order: the file is closed before its owner removes it.
    output: format::context::Output,
    video: encoder::video::Encoder,
    frame: frame::Video,
    packet: Packet,
    time_base: Rational,
    frames: i64,
}

/// Whether the encoder `name` is there and opens.
pub(crate) fn works(name: &str) -> bool {
    init();
    start(name, &Settings::TRIAL).is_ok()
}

/// The version of libavcodec.
pub(crate) fn version() -> String {
    let version = codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

/// Starts a film at `path` with the encoder `name`.
pub(crate) fn open(
    name: &str,
    path: &Path,
    settings: &Settings,
) -> Result<Box<dyn Backend>, EncoderFailure> {
    init();
    let url = crate::url(path)?;
    let mut output = loop {
        // FFmpeg makes an interrupted system call again when it writes, but not when it opens.
        match format::output_as(&url, "mp4") {
            Err(ffmpeg::Error::Other { errno: ffmpeg::error::EINTR }) => {}
            opened => break opened.map_err(failure)?,
        }
    };
    let video = start(name, settings).map_err(failure)?;
    let fps = Rational(1, settings.fps as i32);
    output.add_stream_with(&video).map_err(failure)?.set_time_base(fps);
    let mut movflags = Dictionary::new();
    movflags.set("movflags", "+faststart");
    output.write_header_with(movflags).map_err(failure)?;
    let time_base = output.stream(0).map_or(fps, |stream| stream.time_base());
    let frame = frame::Video::new(format::Pixel::YUV420P, settings.width, settings.height);
    Ok(Box::new(Libav { output, video, frame, packet: Packet::empty(), time_base, frames: 0 }))
}

impl Backend for Libav {
    fn push(&mut self, rgba: &[u8]) -> Result<(), EncoderFailure> {
        // The encoder may still hold the last frame: then FFmpeg gives this one memory of its own.
        // SAFETY: `frame` owns a valid AVFrame.
        let writable = unsafe { ffmpeg::ffi::av_frame_make_writable(self.frame.as_mut_ptr()) };
        if writable < 0 {
            return Err(failure(writable.into()));
        }
        convert(rgba, &mut self.frame);
        self.frame.set_pts(Some(self.frames));
        self.frames += 1;
        self.video.send_frame(&self.frame).map_err(failure)?;
        self.write_packets()
    }

    fn finish(mut self: Box<Self>) -> Result<(), EncoderFailure> {
        self.video.send_eof().map_err(failure)?;
        self.write_packets()?;
        self.output.write_trailer().map_err(failure)
    }
}

impl Libav {
    fn write_packets(&mut self) -> Result<(), EncoderFailure> {
        loop {
            match self.video.receive_packet(&mut self.packet) {
                Ok(()) => {}
                // More input wanted, or all is out.
                Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN } | ffmpeg::Error::Eof) => {
                    return Ok(());
                }
                Err(error) => return Err(failure(error)),
            }
            self.packet.set_stream(0);
            self.packet.set_duration(1);
            self.packet.rescale_ts(self.video.time_base(), self.time_base);
            self.packet.write_interleaved(&mut self.output).map_err(failure)?;
        }
    }
}

/// Prepares FFmpeg once for the process: error texts, and no log lines on stderr.
fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        ffmpeg::util::error::register_all();
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    });
}

fn failure(error: ffmpeg::Error) -> EncoderFailure {
    EncoderFailure::new(error)
}

/// Opens the encoder `name`: one thread (the same input gives the same bytes on every machine), no frames
/// out of order, and a key frame at least every second, so that scrubbing in a browser is quick.
fn start(name: &str, settings: &Settings) -> Result<encoder::video::Encoder, ffmpeg::Error> {
    let &Settings { width, height, fps, .. } = settings;
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
    let mut dictionary = Dictionary::new();
    for (key, value) in options(name, settings) {
        dictionary.set(key, &value);
    }
    video.open_as_with(codec, dictionary)
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
