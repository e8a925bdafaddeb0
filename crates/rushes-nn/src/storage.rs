//! How numbers are kept until a network sees them: as they are, or as bytes where bytes hold them.

use std::ops::Range;

use super::state::{StateError, Tensors};

/// The type that numbers are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Storage {
    /// Single precision: four bytes a number.
    #[default]
    Float32,
    /// A byte each, for whole numbers from 0 to 255.
    Uint8,
}

impl Storage {
    /// Bytes that a number takes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => size_of::<f32>(),
            Self::Uint8 => size_of::<u8>(),
        }
    }
}

/// Numbers that are kept, one after another. They go in and come out as `f32`.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// As [`Storage::Float32`].
    Float32(Vec<f32>),
    /// As [`Storage::Uint8`].
    Uint8(Vec<u8>),
}

impl Default for Stored {
    fn default() -> Self {
        Self::new(Storage::default())
    }
}

impl Stored {
    /// No numbers.
    pub fn new(storage: Storage) -> Self {
        match storage {
            Storage::Float32 => Self::Float32(Vec::new()),
            Storage::Uint8 => Self::Uint8(Vec::new()),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Float32(numbers) => numbers.len(),
            Self::Uint8(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self) {
        match self {
            Self::Float32(numbers) => numbers.clear(),
            Self::Uint8(bytes) => bytes.clear(),
        }
    }

    /// Appends `values`.
    pub fn extend(&mut self, values: &[f32]) {
        match self {
            Self::Float32(numbers) => numbers.extend_from_slice(values),
            Self::Uint8(bytes) => bytes.extend(values.iter().map(|&value| value as u8)),
        }
    }

    /// Writes `values` over those from `start` on.
    ///
    /// # Panics
    /// Panics if there are not so many.
    pub fn overwrite(&mut self, start: usize, values: &[f32]) {
        let range = start..start + values.len();
        match self {
            Self::Float32(numbers) => numbers[range].copy_from_slice(values),
            Self::Uint8(bytes) => {
                for (byte, &value) in bytes[range].iter_mut().zip(values) {
                    *byte = value as u8;
                }
            }
        }
    }

    /// Appends the numbers in `range` to `values`.
    ///
    /// # Panics
    /// Panics if there are not so many.
    pub fn read(&self, range: Range<usize>, values: &mut Vec<f32>) {
        match self {
            Self::Float32(numbers) => values.extend_from_slice(&numbers[range]),
            Self::Uint8(bytes) => values.extend(bytes[range].iter().map(|&byte| f32::from(byte))),
        }
    }

    /// Writes the numbers as a tensor.
    pub fn save(&self, name: &str, shape: &[usize], tensors: &mut Tensors) {
        match self {
            Self::Float32(numbers) => tensors.insert(name, shape, numbers),
            Self::Uint8(bytes) => tensors.insert(name, shape, bytes),
        }
    }

    /// Takes over what [`Stored::save`] wrote, within the room that there is.
    ///
    /// # Errors
    /// Fails if the tensor is missing or of another type or shape.
    pub fn load(
        &mut self,
        name: &str,
        shape: &[usize],
        tensors: &Tensors,
    ) -> Result<(), StateError> {
        match self {
            Self::Float32(numbers) => tensors.read_into(name, shape, numbers),
            Self::Uint8(bytes) => tensors.read_into(name, shape, bytes),
        }
    }
}
