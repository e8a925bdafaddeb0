//! What an algorithm saves: named tensors and JSON values, kept in one safetensors file.

use std::collections::HashMap;

use anyhow::Context as _;
use indexmap::IndexMap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A number type that tensors are made of.
pub trait Element: bytemuck::Pod {
    /// Its name in safetensors files.
    const DTYPE: Dtype;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl Element for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

impl Element for u8 {
    const DTYPE: Dtype = Dtype::U8;
}

impl Element for u32 {
    const DTYPE: Dtype = Dtype::U32;
}

struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Named tensors and JSON values.
#[derive(Default)]
pub struct State {
    tensors: IndexMap<String, Tensor>,
    values: IndexMap<String, String>,
}

impl State {
    /// Stores a value as JSON; an equal name is replaced.
    ///
    /// # Panics
    /// Where the value has no JSON form (a map with keys that are no text).
    pub fn put<T: Serialize>(&mut self, name: &str, value: &T) {
        let text = serde_json::to_string(value).expect("saved values have a JSON form");
        self.values.insert(name.to_owned(), text);
    }

    /// Reads a value stored by [`State::put`].
    ///
    /// # Errors
    /// Where there is none of this name, or it is of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let text = self.values.get(name).with_context(|| format!("`{name}` is missing"))?;
        serde_json::from_str(text).with_context(|| format!("`{name}` cannot be read"))
    }

    /// Stores a tensor, row-major; an equal name is replaced.
    ///
    /// # Panics
    /// Where `shape` does not fit the number of elements.
    pub fn put_tensor<T: Element>(&mut self, name: &str, shape: &[usize], elements: &[T]) {
        assert_eq!(shape.iter().product::<usize>(), elements.len(), "shape of `{name}`");
        let bytes = bytemuck::cast_slice(elements).to_vec();
        let tensor = Tensor { dtype: T::DTYPE, shape: shape.to_vec(), bytes };
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Copies the tensor of this name into `elements`.
    ///
    /// # Errors
    /// Where there is none of this name, or it has another type or length.
    pub fn get_tensor<T: Element>(&self, name: &str, elements: &mut [T]) -> anyhow::Result<()> {
        let tensor = self.tensors.get(name).with_context(|| format!("`{name}` is missing"))?;
        let target: &mut [u8] = bytemuck::cast_slice_mut(elements);
        anyhow::ensure!(
            tensor.dtype == T::DTYPE && tensor.bytes.len() == target.len(),
            "`{name}` is {:?} {:?}, expected {:?} with {} bytes",
            tensor.dtype,
            tensor.shape,
            T::DTYPE,
            target.len()
        );
        target.copy_from_slice(&tensor.bytes);
        Ok(())
    }

    /// The file's content: safetensors, with the values in the header's metadata.
    ///
    /// # Errors
    /// Where safetensors refuses a tensor.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let views: Vec<_> = (self.tensors.iter())
            .map(|(name, t)| Ok((name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
            .collect::<Result<_, safetensors::SafeTensorError>>()?;
        // The order of a HashMap's keys is random; one key keeps equal states equal to the byte.
        let metadata = HashMap::from([("rushes".to_owned(), serde_json::to_string(&self.values)?)]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads what [`State::to_bytes`] wrote.
    ///
    /// # Errors
    /// Where the content is damaged.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let values = header.metadata().as_ref().and_then(|metadata| metadata.get("rushes"));
        let values = serde_json::from_str(values.context("the header holds no values")?)?;
        let mut tensors = IndexMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            tensors.insert(name, Tensor { dtype, shape, bytes: view.data().to_vec() });
        }
        Ok(Self { tensors, values })
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn a_state_survives_its_file() {
        let mut state = State::default();
        state.put("step", &12_u64);
        state.put_tensor("weights", &[2, 2], &[1.0_f32, 2.0, 3.0, f32::NAN]);
        let bytes = state.to_bytes().unwrap();
        let back = State::from_bytes(&bytes).unwrap();
        assert_eq!(back.get::<u64>("step").unwrap(), 12);
        let mut weights = [0.0_f32; 4];
        back.get_tensor("weights", &mut weights).unwrap();
        assert_eq!(weights[..3], [1.0, 2.0, 3.0]);
        assert_eq!(back.to_bytes().unwrap(), bytes, "equal states have equal files");
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_refused() {
        let mut state = State::default();
        state.put_tensor("weights", &[2], &[1.0_f32, 2.0]);
        assert!(state.get::<u64>("step").is_err());
        assert!(state.get_tensor("weights", &mut [0.0_f64; 2]).is_err());
        assert!(state.get_tensor("weights", &mut [0.0_f32; 3]).is_err());
        assert!(State::from_bytes(b"half a file").is_err());
    }
}
