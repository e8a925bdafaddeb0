//! OpenH264, compiled into this program (the feature `openh264`): films where there is no FFmpeg.
//!
//! The compressed film stays in memory until it is finished, because its index, which is known last, comes first in
//! the file: a tenth of a megabyte for 500 pictures of CartPole.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use muxide::api::{Muxer, MuxerBuilder, VideoCodec};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, ColorPrimaries, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod,
    QpRange, RateControlMode, TransferCharacteristics, VuiConfig,
};
use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};

use crate::EncoderFailure;
use crate::backend::{Backend, Settings};
use crate::yuv::Picture;

struct BuiltIn {
    encoder: Encoder,
    muxer: Muxer<BufWriter<File>>,
    picture: Picture,
    bytes: Vec<u8>,
    frames: u32,
    fps: f64,
}

/// Starts a film at `path`.
pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Box<dyn Backend>, EncoderFailure> {
    let &Settings { width, height, fps, quality } = settings;
    // Without a constant-quality mode: a quantiser held between narrow bounds. BT.601's coefficients, as `yuv.rs`
    // writes them, with sRGB's primaries and transfer curve.
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Quality)
        .qp(QpRange::new(quality.saturating_sub(4).max(1), (quality + 4).min(51)))
        .bitrate(BitRate::from_bps((width * height).saturating_mul(fps) / 8))
        .max_frame_rate(FrameRate::from_hz(fps as f32))
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(fps))
        .num_threads(1)
        .vui(
            VuiConfig::bt601()
                .color_primaries(ColorPrimaries::Bt709)
                .transfer_characteristics(TransferCharacteristics::Srgb),
        );
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)
        .map_err(EncoderFailure::new)?;
    // Else it warns on stderr that a held quantiser has no bit rate.
    let mut level = WELS_LOG_QUIET;
    // SAFETY: this option is a `uint32_t`, and is copied.
    unsafe {
        encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
    }
    let file = File::create(path).map_err(EncoderFailure::new)?;
    let muxer = MuxerBuilder::new(BufWriter::new(file))
        .video(VideoCodec::H264, width, height, f64::from(fps))
        .with_fast_start(true)
        .build()
        .map_err(EncoderFailure::new)?;
    let picture = Picture::new(width as usize, height as usize);
    let fps = f64::from(fps);
    Ok(Box::new(BuiltIn { encoder, muxer, picture, bytes: Vec::new(), frames: 0, fps }))
}

impl Backend for BuiltIn {
    fn push(&mut self, rgba: &[u8]) -> Result<(), EncoderFailure> {
        self.picture.convert(rgba);
        let stream = self.encoder.encode(&self.picture).map_err(EncoderFailure::new)?;
        self.bytes.clear();
        stream.write_vec(&mut self.bytes);
        let is_key = matches!(stream.frame_type(), FrameType::IDR | FrameType::I);
        let seconds = f64::from(self.frames) / self.fps;
        self.frames += 1;
        self.muxer.write_video(seconds, &self.bytes, is_key).map_err(EncoderFailure::new)
    }

    fn finish(self: Box<Self>) -> Result<(), EncoderFailure> {
        self.muxer.finish().map_err(EncoderFailure::new)
    }
}
