//! A run as TensorBoard event files: a folder for each trial, scalars over environment steps.
//!
//! An event file is a sequence of records: length (u64, little endian), masked CRC-32C of the length, data,
//! masked CRC-32C of the data (TensorFlow, `core/lib/io/record_writer.h`). The data is a protocol-buffer
//! `Event` (`core/util/event.proto`) of which only scalars are needed, so it is encoded by hand: the crates
//! that do it need a protocol compiler at build time or have stood still for years.

use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};

use super::finished;
use crate::record::{Event, Record};
use crate::stats;
use crate::store::{self, RunDir};

/// With Castagnoli's polynomial.
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Writes `folder/EXPERIMENT/RUN/TRIAL/events.out.tfevents.TIME.rushes` for every trial, replacing older ones. A
/// folder's events are one curve to TensorBoard, so that every run has folders of its own. How many trials had nothing
/// to write is returned.
///
/// # Errors
/// Fails if the plan cannot be read, no trial has a result, or a file cannot be written.
pub fn export(run: &RunDir, folder: &Path) -> anyhow::Result<usize> {
    let info = run.info().ok();
    let started = info.as_ref().map_or(0.0, |info| info.started.as_millisecond() as f64 / 1000.0);
    let plan = run.plan()?;
    // Not the directory's name: copies of different runs may both be called `latest`.
    let name = info.map_or_else(|| run.name(), |info| info.run);
    let folder = folder.join(&plan.experiment.name).join(name);
    let trials = finished(run, &plan)?;
    for trial in &trials {
        let result = &trial.result;
        let mut events = EventFile::new(started);
        let mean_return = |events: &mut EventFile, step: u64, time: f64, returns: &[f64]| {
            if let Some(mean) = stats::mean(returns) {
                events.scalar(started + time, step, "evaluation/mean_return", mean);
            }
        };
        for Record { progress, seconds, event } in &trial.records()? {
            let (time, step) = (started + seconds, progress.steps);
            match event {
                Event::Episode { r#return, length, .. } => {
                    events.scalar(time, step, "episode/return", *r#return);
                    events.scalar(time, step, "episode/length", *length as f64);
                }
                Event::Update { metrics } => {
                    for (name, value) in metrics {
                        events.scalar(time, step, &format!("train/{name}"), *value);
                    }
                }
                Event::Evaluation { returns, .. } => {
                    mean_return(&mut events, step, *seconds, returns);
                }
                _ => {}
            }
        }
        if let Some(after) = &result.after {
            let (step, time) = (result.progress.steps, result.training_seconds);
            mean_return(&mut events, step, time, &after.returns);
        }
        let trial_folder = folder.join(&trial.plan.id);
        fs_err::create_dir_all(&trial_folder)?;
        let name = format!("events.out.tfevents.{started:010.0}.rushes");
        store::write_atomically(&trial_folder.join(name), &events.bytes)?;
    }
    Ok(plan.trials.len() - trials.len())
}

/// An event file in the making.
struct EventFile {
    bytes: Vec<u8>,
}

impl EventFile {
    /// A file that starts with the format's version, as every event file has to.
    fn new(time: f64) -> Self {
        let mut event = Message::default();
        event.double(1, time);
        event.bytes(3, b"brain.Event:2");
        let mut file = Self { bytes: Vec::new() };
        file.record(&event.0);
        file
    }

    /// Adds a scalar; `time` is in seconds since 1970.
    fn scalar(&mut self, time: f64, step: u64, tag: &str, value: f64) {
        let mut scalar = Message::default();
        scalar.bytes(1, tag.as_bytes());
        scalar.float(2, value as f32);
        let mut summary = Message::default();
        summary.bytes(1, &scalar.0);
        let mut event = Message::default();
        event.double(1, time);
        event.varint(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0);
    }

    fn record(&mut self, data: &[u8]) {
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(&masked_crc(data).to_le_bytes());
    }
}

/// A protocol-buffer message in the making: fields are written as (number, wire type), value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u8, wire_type: u8) {
        self.0.push(field << 3 | wire_type);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u8, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn float(&mut self, field: u8, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// CRC-32C, rotated and shifted so that checksums of data that holds checksums stay good.
fn masked_crc(data: &[u8]) -> u32 {
    CRC_32C.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::EventFile;

    /// The bytes that TensorBoard's own writer (2.21.0) makes of the same events.
    #[test]
    fn bytes_equal_tensorboards_own() {
        let mut file = EventFile::new(1_700_000_000.5);
        file.scalar(1_700_000_001.25, 300, "episode/return", 21.5);
        let hex: String = file.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let version =
            "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110";
        let scalar = "2500000000000000eabc36f30900005040fc54d94110ac022a170a150a0e657069736f64652f7265\
                      7475726e150000ac41c165037a";
        assert_eq!(hex, format!("{version}{scalar}"));
    }
}
