//! TensorBoard's event files, written and read.
//!
//! An event file is a sequence of records: length (u64, little endian), masked CRC-32C of the length, data,
//! masked CRC-32C of the data (TensorFlow, `core/lib/io/record_writer.h`). The data is a protocol-buffer
//! `Event` (`core/util/event.proto`), of which the fields that scalars need are written out here: crates that have all of
//! them want a protocol compiler at build time or have stood still for years.

use std::path::Path;

use anyhow::Context as _;
use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

/// With Castagnoli's polynomial.
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// A record's length and its checksum.
const HEADER: usize = 12;
/// A record's second checksum.
const FOOTER: usize = 4;
/// `DataType` of `core/framework/types.proto`.
const DT_FLOAT: i32 = 1;
const DT_DOUBLE: i32 = 2;

/// `Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `Summary` of `core/framework/summary.proto`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    /// What TensorFlow 2 and JAX programs write in place of `simple_value`.
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
}

/// `TensorProto` of `core/framework/tensor.proto`.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(bytes = "vec", tag = "4")]
    content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    float_val: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    double_val: Vec<f64>,
}

impl Tensor {
    /// Its number, where it is a single one.
    fn scalar(&self) -> Option<f64> {
        match (self.dtype, &self.float_val[..], &self.double_val[..], &self.content[..]) {
            (DT_FLOAT, [value], ..) => Some(f64::from(*value)),
            (DT_DOUBLE, _, [value], _) => Some(*value),
            (DT_FLOAT, .., bytes) => Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
            (DT_DOUBLE, .., bytes) => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

/// An event file in the making.
pub struct EventFile {
    bytes: Vec<u8>,
}

impl EventFile {
    /// A file that starts with the format's version, as every event file has to; `time` is in seconds since 1970.
    pub fn new(time: f64) -> Self {
        let mut file = Self { bytes: Vec::new() };
        let version = Some("brain.Event:2".to_owned());
        file.record(&Event { wall_time: time, file_version: version, ..Event::default() });
        file
    }

    /// Adds a scalar; `time` is in seconds since 1970.
    pub fn scalar(&mut self, time: f64, step: u64, tag: &str, value: f64) {
        let simple_value = Some(value as f32);
        let value = SummaryValue { tag: tag.to_owned(), simple_value, tensor: None };
        let summary = Some(Summary { value: vec![value] });
        let step = step.cast_signed();
        self.record(&Event { wall_time: time, step, summary, ..Event::default() });
    }

    /// The whole file.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn record(&mut self, event: &Event) {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
        self.bytes.extend_from_slice(&data);
        self.bytes.extend_from_slice(&masked_crc(&data).to_le_bytes());
    }
}

/// A scalar of an event file.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// When it was written, in seconds since 1970.
    pub time: f64,
    /// The step that the program gave it.
    pub step: i64,
    /// Its name.
    pub tag: String,
    /// The number.
    pub value: f64,
}

/// The scalars of an event file, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scalars {
    /// The scalars.
    pub scalars: Vec<Scalar>,
    /// Whether the file ends within a record, as that of a program that was killed may: what stands before is here.
    pub cut_off: bool,
}

impl Scalars {
    /// Reads an event file.
    ///
    /// # Errors
    /// Fails if it cannot be read, is no event file or is damaged elsewhere than at its end.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs_err::read(path)?;
        Self::parse(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut scalars = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let Some((header, after)) = rest.split_at_checked(HEADER) else {
                scalars.cut_off = true;
                break;
            };
            let (length, checksum) = header.split_at(size_of::<u64>());
            anyhow::ensure!(
                masked_crc(length).to_le_bytes() == checksum,
                "expected a record of TensorBoard at byte {at}, its checksum is another"
            );
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let whole = length.checked_add(FOOTER).and_then(|n| after.split_at_checked(n));
            let Some((record, next)) = whole else {
                scalars.cut_off = true;
                break;
            };
            let (data, checksum) = record.split_at(length);
            anyhow::ensure!(
                masked_crc(data).to_le_bytes() == checksum,
                "the record at byte {at} is not what was written: its checksum is another"
            );
            let event = Event::decode(data).with_context(|| format!("the record at byte {at}"))?;
            for value in event.summary.into_iter().flat_map(|summary| summary.value) {
                let simple = value.simple_value.map(f64::from);
                let number = simple.or_else(|| value.tensor.as_ref()?.scalar());
                if let Some(number) = number {
                    let Event { wall_time: time, step, .. } = event;
                    scalars.scalars.push(Scalar { time, step, tag: value.tag, value: number });
                }
            }
            rest = next;
        }
        Ok(scalars)
    }
}

/// CRC-32C, rotated and shifted so that checksums of data that holds checksums stay good.
fn masked_crc(data: &[u8]) -> u32 {
    CRC_32C.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut file = EventFile::new(1_700_000_000.5);
        file.scalar(1_700_000_001.25, 300, "episode/return", 21.5);
        file.finish()
    }

    /// The bytes that TensorBoard's own writer (2.21.0) makes of the same events.
    #[test]
    fn bytes_equal_tensorboards_own() {
        let hex: String = file().iter().map(|byte| format!("{byte:02x}")).collect();
        let version =
            "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110";
        let scalar = "2500000000000000eabc36f30900005040fc54d94110ac022a170a150a0e657069736f64652f7265\
                      7475726e150000ac41c165037a";
        assert_eq!(hex, format!("{version}{scalar}"));
    }

    #[test]
    fn scalars_are_read_as_written() {
        let scalar =
            Scalar { time: 1_700_000_001.25, step: 300, tag: "episode/return".into(), value: 21.5 };
        let read = Scalars::parse(&file()).expect("a whole file");
        assert_eq!(read, Scalars { scalars: vec![scalar], cut_off: false });
    }

    #[test]
    fn tensors_of_one_number_are_scalars() {
        let tensor =
            |dtype, content: &[u8]| Tensor { dtype, content: content.into(), ..Tensor::default() };
        assert_eq!(tensor(DT_FLOAT, &1.5_f32.to_le_bytes()).scalar(), Some(1.5));
        assert_eq!(tensor(DT_DOUBLE, &2.5_f64.to_le_bytes()).scalar(), Some(2.5));
        let listed = Tensor { dtype: DT_FLOAT, float_val: vec![3.5], ..Tensor::default() };
        assert_eq!(listed.scalar(), Some(3.5));
        assert_eq!(tensor(DT_FLOAT, &[0; 8]).scalar(), None);
        assert_eq!(tensor(7, b"text").scalar(), None);
    }

    #[test]
    fn a_file_that_is_cut_off_tells_what_stands_before() {
        let whole = file();
        for end in 1..whole.len() {
            let read = Scalars::parse(&whole[..end]).expect("cut off, not damaged");
            assert!(read.scalars.is_empty() && (read.cut_off || end == 40), "{end}");
        }
    }

    #[test]
    fn a_byte_that_changed_is_found() {
        for place in 0..file().len() {
            let mut changed = file();
            changed[place] ^= 1;
            assert!(Scalars::parse(&changed).is_err(), "byte {place}");
        }
    }
}
