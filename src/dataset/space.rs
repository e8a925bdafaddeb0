//! Spaces as Minari writes them: JSON, with Python's names for what is infinite.

use serde_json::json;

use crate::env::{Dtype, Space};

/// A space as `minari.serialization.deserialize_space` reads it.
pub(super) fn minari(space: &Space) -> String {
    match space {
        Space::Discrete { n } => {
            json!({ "type": "Discrete", "dtype": "int64", "start": 0, "n": n }).to_string()
        }
        Space::MultiDiscrete { nvec } => {
            let start = vec![0; nvec.len()];
            json!({ "type": "MultiDiscrete", "dtype": "int64", "nvec": nvec, "start": start })
                .to_string()
        }
        Space::MultiBinary { n } => json!({ "type": "MultiBinary", "n": n }).to_string(),
        Space::Tuple { spaces } => {
            let parts = spaces.iter().map(minari).collect::<Vec<_>>().join(", ");
            format!(r#"{{"type": "Tuple", "subspaces": [{parts}]}}"#)
        }
        Space::Dict { spaces } => {
            let part =
                |(name, space): (&String, &Space)| format!("{}: {}", json!(name), minari(space));
            let parts = spaces.iter().map(part).collect::<Vec<_>>().join(", ");
            format!(r#"{{"type": "Dict", "subspaces": {{{parts}}}}}"#)
        }
        Space::Box { dtype, low, high, shape } => {
            let dtype = match dtype {
                Dtype::Float32 => "float32",
                Dtype::Uint8 => "uint8",
            };
            let [low, high] = [low, high].map(|bounds| nested(bounds, shape));
            format!(
                r#"{{"type": "Box", "dtype": "{dtype}", "shape": {}, "low": {low}, "high": {high}}}"#,
                json!(shape)
            )
        }
    }
}

/// Numbers, row-major, as lists in lists of this shape.
fn nested(numbers: &[f32], shape: &[usize]) -> String {
    let [_, inner @ ..] = shape else {
        return number(numbers.first().copied().unwrap_or_default());
    };
    let len = inner.iter().product::<usize>().max(1);
    let parts: Vec<String> = numbers.chunks(len).map(|part| nested(part, inner)).collect();
    format!("[{}]", parts.join(", "))
}

fn number(number: f32) -> String {
    match number {
        f32::INFINITY => "Infinity".into(),
        f32::NEG_INFINITY => "-Infinity".into(),
        _ => json!(number).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_nested_as_the_array_is() {
        let low = vec![f32::NEG_INFINITY, 0.5, 1.0, 2.0];
        let space = Space::float_box(low, vec![f32::INFINITY; 4], vec![2, 2]);
        let expected = concat!(
            r#"{"type": "Box", "dtype": "float32", "shape": [2,2], "low": [[-Infinity, 0.5], [1.0, 2.0]], "#,
            r#""high": [[Infinity, Infinity], [Infinity, Infinity]]}"#
        );
        assert_eq!(minari(&space), expected);
    }
}
