//! Observations and actions as they are printed.

use std::fmt;

use crate::env::Space;

/// An element of a space, as people and programs read it.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum Element<'a> {
    Index(u64),
    Indices(Vec<u64>),
    Numbers(&'a [f32]),
}

impl<'a> Element<'a> {
    pub(super) fn new(space: &Space, flat: &'a [f32]) -> Self {
        match space {
            Space::Discrete { .. } => Element::Index(flat[0] as u64),
            space if space.discrete_parts().is_some() => {
                Element::Indices(flat.iter().map(|&part| part as u64).collect())
            }
            _ => Element::Numbers(flat),
        }
    }
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // More than a line holds, as the pixels of an image, is cut.
        const SHOWN: usize = 24;
        match self {
            Element::Index(index) => f.pad(&index.to_string()),
            Element::Indices(parts) => write!(f, "{parts:?}"),
            Element::Numbers(numbers) => {
                let shown: Vec<_> =
                    numbers.iter().take(SHOWN).map(|number| format!("{number:>8.4}")).collect();
                let rest = if numbers.len() > SHOWN { " …" } else { "" };
                write!(f, "[{}{rest}]", shown.join(" "))
            }
        }
    }
}
