//! Named tensors on disk: the safetensors format, for policies and checkpoints.
//!
//! The header's metadata holds one entry, `rushes`: a JSON object with whatever the writer wants to know
//! again (format version, environment, network shape). One entry, because the crate writes several in no
//! fixed order and equal states should make equal files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fs_err as fs;
use safetensors::tensor::{SafeTensors, TensorView};
use safetensors::{Dtype, SafeTensorError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::network::{Network, TensorInfo};
use super::scalar::{Element, Scalar};
use rushes_rng::Rng;

/// The metadata entry that holds [`Tensors::metadata`].
const METADATA: &str = "rushes";

/// A file of tensors that cannot be read, or holds something else than was expected.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system said no; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a whole safetensors file.
    #[error("damaged or not a safetensors file: {0}")]
    Format(#[from] SafeTensorError),
    /// The metadata is not the JSON that this program writes.
    #[error("damaged metadata: {0}")]
    Metadata(#[from] serde_json::Error),
    /// A tensor is not there.
    #[error("no tensor named \"{name}\": the file belongs to another network or version")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor is there, but of another type or shape.
    #[error(
        "tensor \"{name}\" is {found_dtype:?} {found_shape:?}, expected {expected_dtype:?} {expected_shape:?}"
    )]
    Mismatch {
        /// Its name.
        name: String,
        /// The file's number type.
        found_dtype: Dtype,
        /// The file's shape.
        found_shape: Vec<usize>,
        /// The number type asked for.
        expected_dtype: Dtype,
        /// The shape asked for.
        expected_shape: Vec<usize>,
    },
}

/// One tensor as bytes, little-endian, row-major.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Named tensors and metadata, in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    /// What the file tells about itself.
    pub metadata: Map<String, Value>,
    tensors: BTreeMap<String, Stored>,
}

impl Tensors {
    /// Adds or replaces a tensor. `values` must have as many numbers as `shape` says.
    pub fn insert<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) {
        self.put(name, T::DTYPE, shape, values.len(), bytemuck::cast_slice(values));
    }

    /// Adds or replaces a value in the metadata.
    ///
    /// # Panics
    /// Panics if the value has no JSON form (a map whose keys are no text).
    pub fn insert_value<V: Serialize>(&mut self, name: &str, value: &V) {
        let value = serde_json::to_value(value).expect("saved values have a JSON form");
        self.metadata.insert(name.to_owned(), value);
    }

    /// The value of the metadata that [`Tensors::insert_value`] stored.
    ///
    /// # Errors
    /// Fails if it is missing or of another type.
    pub fn value<V: DeserializeOwned>(&self, name: &str) -> Result<V, StateError> {
        let value = self.metadata.get(name).cloned().unwrap_or_default();
        Ok(serde_json::from_value(value)?)
    }

    /// Adds or replaces the state of a random stream.
    pub fn insert_rng(&mut self, name: &str, rng: &Rng) {
        let json = serde_json::to_vec(rng).expect("two numbers have a JSON form");
        self.insert_bytes(name, &json);
    }

    /// The random stream that [`Tensors::insert_rng`] stored.
    ///
    /// # Errors
    /// Fails if it is missing or no random stream.
    pub fn rng(&self, name: &str) -> Result<Rng, StateError> {
        Ok(serde_json::from_slice(self.get_bytes(name)?)?)
    }

    /// Adds or replaces bytes: the state of anything that is not a tensor.
    pub fn insert_bytes(&mut self, name: &str, bytes: &[u8]) {
        self.put(name, Dtype::U8, &[bytes.len()], bytes.len(), bytes);
    }

    /// Adds or replaces a single whole number.
    pub fn insert_u64(&mut self, name: &str, value: u64) {
        self.put(name, Dtype::U64, &[], 1, &value.to_le_bytes());
    }

    fn put(&mut self, name: &str, dtype: Dtype, shape: &[usize], len: usize, bytes: &[u8]) {
        assert_eq!(
            len,
            shape.iter().product::<usize>(),
            "\"{name}\" has another size than {shape:?}"
        );
        let stored = Stored { dtype, shape: shape.to_vec(), bytes: bytes.to_vec() };
        self.tensors.insert(name.to_owned(), stored);
    }

    /// The numbers of the tensor `name`.
    ///
    /// # Errors
    /// Fails if it is missing or of another type or shape.
    pub fn get<T: Element>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>, StateError> {
        let mut values = Vec::new();
        self.read_into(name, shape, &mut values)?;
        Ok(values)
    }

    /// Replaces what `values` holds by the numbers of the tensor `name`, within the room that it has.
    ///
    /// # Errors
    /// Fails if the tensor is missing or of another type or shape; `values` is unchanged then.
    pub fn read_into<T: Element>(
        &self,
        name: &str,
        shape: &[usize],
        values: &mut Vec<T>,
    ) -> Result<(), StateError> {
        let bytes = self.find(name, T::DTYPE, Some(shape))?;
        values.clear();
        values.extend(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned::<T>));
        Ok(())
    }

    /// The bytes of `name`.
    ///
    /// # Errors
    /// Fails if they are missing.
    pub fn get_bytes(&self, name: &str) -> Result<&[u8], StateError> {
        self.find(name, Dtype::U8, None)
    }

    /// The whole number `name`.
    ///
    /// # Errors
    /// Fails if it is missing.
    pub fn get_u64(&self, name: &str) -> Result<u64, StateError> {
        let bytes = self.find(name, Dtype::U64, Some(&[]))?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("one word, by its type and shape")))
    }

    /// Bytes of all tensors together.
    pub fn size(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.bytes.len()).sum()
    }

    /// Whether there is no tensor at all.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of the tensor `name`, where there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// Whether the tensor `name` is of double precision.
    pub fn is_double(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|tensor| tensor.dtype == Dtype::F64)
    }

    /// Takes over every tensor that is `wanted` and that `other` has with the same name, type and shape. Gives the names of
    /// those that are wanted and stay as they are.
    pub fn take_matching(&mut self, other: &Self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut kept = Vec::new();
        for (name, own) in self.tensors.iter_mut().filter(|(name, _)| wanted(name)) {
            match other.tensors.get(name) {
                Some(new) if (new.dtype, &new.shape) == (own.dtype, &own.shape) => {
                    *own = new.clone();
                }
                _ => kept.push(name.clone()),
            }
        }
        kept
    }

    /// The bytes of `name`; any shape of one dimension where `shape` is `None`.
    fn find(&self, name: &str, dtype: Dtype, shape: Option<&[usize]>) -> Result<&[u8], StateError> {
        let stored =
            self.tensors.get(name).ok_or_else(|| StateError::Missing { name: name.to_owned() })?;
        let shape = shape.unwrap_or(&stored.shape);
        if stored.dtype != dtype || stored.shape != shape {
            return Err(StateError::Mismatch {
                name: name.to_owned(),
                found_dtype: stored.dtype,
                found_shape: stored.shape.clone(),
                expected_dtype: dtype,
                expected_shape: shape.to_vec(),
            });
        }
        Ok(&stored.bytes)
    }

    /// Adds a network's parameters and statistics, each tensor under `prefix` + its name.
    pub fn insert_network<T: Scalar>(&mut self, prefix: &str, network: &dyn Network<T>) {
        for (layout, numbers) in [
            (network.layout(), network.parameters()),
            (network.statistics_layout(), network.statistics()),
        ] {
            for tensor in layout {
                let values = &numbers[tensor.offset..tensor.offset + tensor.count()];
                self.insert(&format!("{prefix}{}", tensor.name), &tensor.shape, values);
            }
        }
    }

    /// Gives a network the parameters and statistics that [`Tensors::insert_network`] wrote.
    ///
    /// # Errors
    /// Fails if a tensor is missing or of another shape or precision; the network is unchanged then.
    pub fn load_network<T: Scalar>(
        &self,
        prefix: &str,
        network: &mut dyn Network<T>,
    ) -> Result<(), StateError> {
        let read = |layout: &[TensorInfo]| -> Result<Vec<T>, StateError> {
            let mut numbers = Vec::new();
            for tensor in layout {
                numbers.extend(self.get::<T>(&format!("{prefix}{}", tensor.name), &tensor.shape)?);
            }
            Ok(numbers)
        };
        let (parameters, statistics) =
            (read(network.layout())?, read(network.statistics_layout())?);
        network.parameters_mut().copy_from_slice(&parameters);
        network.statistics_mut().copy_from_slice(&statistics);
        Ok(())
    }

    /// The file's bytes. Equal tensors and metadata make equal bytes.
    ///
    /// # Errors
    /// Fails if the format cannot hold them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        Ok(safetensors::serialize(self.views()?, Some(self.entries()?))?)
    }

    /// Writes what [`Tensors::to_bytes`] makes into a file, without a copy of it in memory.
    ///
    /// # Errors
    /// Fails if the format cannot hold the tensors or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        let written = safetensors::serialize_to_file(self.views()?, Some(self.entries()?), path);
        written.map_err(|error| match error {
            SafeTensorError::IoError(error) => StateError::Io(error),
            error => StateError::Format(error),
        })
    }

    /// The tensors, as the format's crate has them.
    fn views(&self) -> Result<Vec<(&String, TensorView<'_>)>, StateError> {
        (self.tensors.iter())
            .map(|(name, t)| Ok((name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
            .collect()
    }

    /// The header's metadata.
    fn entries(&self) -> Result<HashMap<String, String>, StateError> {
        Ok(HashMap::from([(METADATA.to_owned(), serde_json::to_string(&self.metadata)?)]))
    }

    /// Reads what [`Tensors::to_bytes`] made, or any safetensors file.
    ///
    /// # Errors
    /// Fails if the bytes are not one whole file of that format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref().and_then(|entries| entries.get(METADATA));
        let metadata =
            metadata.map(|text| serde_json::from_str(text)).transpose()?.unwrap_or_default();
        let tensors = SafeTensors::deserialize(bytes)?
            .iter()
            .map(|(name, view)| {
                let (shape, bytes) = (view.shape().to_vec(), view.data().to_vec());
                (name.to_owned(), Stored { dtype: view.dtype(), shape, bytes })
            })
            .collect();
        Ok(Self { metadata, tensors })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Fails if it cannot be read or is damaged.
    pub fn load(path: &Path) -> Result<Self, StateError> {
        Self::from_bytes(&fs::read(path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_everything_and_equal_states_make_equal_files() {
        let mut tensors = Tensors::default();
        tensors.metadata.insert("version".into(), 1.into());
        tensors.metadata.insert("environment".into(), "CartPole-v1".into());
        tensors.insert("a", &[2, 2], &[1.0_f32, f32::NAN, -0.0, f32::MIN_POSITIVE]);
        tensors.insert("b", &[1], &[std::f64::consts::PI]);
        tensors.insert_u64("steps", u64::MAX);
        tensors.insert_bytes("rng", b"any bytes");
        let bytes = tensors.to_bytes().expect("what safetensors can hold");
        let folder = tempfile::tempdir().expect("room for a file");
        let file = folder.path().join("tensors");
        tensors.write(&file).expect("a folder");
        assert_eq!(fs::read(file).expect("what was just written"), bytes);
        let read = Tensors::from_bytes(&bytes).expect("what was just written");
        assert_eq!(read.metadata, tensors.metadata);
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!(read.get::<f64>("b", &[1]).unwrap(), [std::f64::consts::PI]);
        assert_eq!(read.get_u64("steps").unwrap(), u64::MAX);
        assert_eq!(read.get_bytes("rng").unwrap(), b"any bytes");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut tensors = Tensors::default();
        tensors.insert("weight", &[3], &[1.0_f32; 3]);
        let message = |error: StateError| error.to_string();
        assert_eq!(
            message(tensors.get::<f32>("bias", &[3]).unwrap_err()),
            "no tensor named \"bias\": the file belongs to another network or version"
        );
        assert_eq!(
            message(tensors.get::<f64>("weight", &[3]).unwrap_err()),
            "tensor \"weight\" is F32 [3], expected F64 [3]"
        );
        assert_eq!(
            message(tensors.get::<f32>("weight", &[4]).unwrap_err()),
            "tensor \"weight\" is F32 [3], expected F32 [4]"
        );
    }

    #[test]
    fn every_truncation_of_a_file_is_noticed() {
        let mut tensors = Tensors::default();
        tensors.metadata.insert("version".into(), 1.into());
        tensors.insert("weight", &[3], &[1.0_f32; 3]);
        let bytes = tensors.to_bytes().unwrap();
        for len in 0..bytes.len() {
            assert!(Tensors::from_bytes(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }
}
