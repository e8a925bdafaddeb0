//! Spaces: what observations and actions look like.

use std::fmt;

use rand::RngExt as _;
use serde::Serialize;

use crate::rng::Rng;

/// A set of observations or actions. Elements travel as flat `f32` buffers of [`Space::len`] numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Space {
    /// The whole numbers `0 … n-1`; one number in a buffer.
    Discrete {
        /// How many.
        n: usize,
    },
    /// A tuple of discrete numbers, one number each in a buffer (Blackjack).
    Tuple {
        /// The size of each part.
        sizes: Vec<usize>,
    },
    /// A box of real numbers, row-major.
    Box {
        /// Lower bound of each element, `-inf` where there is none.
        #[serde(serialize_with = "bounds")]
        low: Vec<f32>,
        /// Upper bound of each element, `inf` where there is none.
        #[serde(serialize_with = "bounds")]
        high: Vec<f32>,
        /// The array's shape.
        shape: Vec<usize>,
    },
}

/// The whole number below `n` that `value` is, if it is one. (The conversion back is cheaper than
/// `fract`, a library call on plain x86-64.)
#[inline]
fn index(value: f32, n: usize) -> Option<usize> {
    let index = value as i32;
    (index as f32 == value && (index as usize) < n).then_some(index as usize)
}

/// JSON has no infinities: they are written as the strings `"inf"` and `"-inf"`.
fn bounds<S: serde::Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| {
        if value.is_finite() {
            serde_json::json!(value)
        } else {
            serde_json::json!(value.to_string())
        }
    }))
}

/// One action, as environments take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action<'a> {
    /// An index into a discrete space.
    Discrete(usize),
    /// A point of a box.
    Continuous(&'a [f32]),
}

impl<'a> Action<'a> {
    /// The index of a discrete action.
    ///
    /// # Panics
    /// Where the action is a point of a box; [`crate::env::TimeLimit`] lets none through.
    #[inline]
    pub fn index(self) -> usize {
        match self {
            Action::Discrete(index) => index,
            Action::Continuous(_) => panic!("expected a discrete action"),
        }
    }

    /// The numbers of a continuous action.
    ///
    /// # Panics
    /// Where the action is discrete; [`crate::env::TimeLimit`] lets none through.
    #[inline]
    pub fn vector(self) -> &'a [f32] {
        match self {
            Action::Continuous(vector) => vector,
            Action::Discrete(_) => panic!("expected a continuous action"),
        }
    }
}

impl Space {
    /// A box of one dimension with the same bounds for all `len` elements.
    pub fn uniform_box(low: f32, high: f32, len: usize) -> Self {
        Space::Box { low: vec![low; len], high: vec![high; len], shape: vec![len] }
    }

    /// A box of one dimension, symmetric about zero.
    pub fn symmetric_box(high: Vec<f32>) -> Self {
        Space::Box { low: high.iter().map(|h| -h).collect(), shape: vec![high.len()], high }
    }

    /// How many `f32` numbers an element takes in a buffer.
    #[expect(clippy::len_without_is_empty, reason = "no space is empty")]
    pub fn len(&self) -> usize {
        match self {
            Space::Discrete { .. } => 1,
            Space::Tuple { sizes } => sizes.len(),
            Space::Box { low, .. } => low.len(),
        }
    }

    /// Whether `element` belongs to this space; NaN never does.
    pub fn contains(&self, element: &[f32]) -> bool {
        let whole = |value: f32, n: usize| index(value, n).is_some();
        element.len() == self.len()
            && match self {
                Space::Discrete { n } => whole(element[0], *n),
                Space::Tuple { sizes } => element.iter().zip(sizes).all(|(&v, &n)| whole(v, n)),
                Space::Box { low, high, .. } => {
                    element.iter().zip(low.iter().zip(high)).all(|(v, (l, h))| v >= l && v <= h)
                }
            }
    }

    /// The typed form of a flat action, `None` where it is not in this space.
    #[inline]
    pub fn action<'a>(&self, element: &'a [f32]) -> Option<Action<'a>> {
        match (self, element) {
            (Space::Discrete { n }, [value]) => index(*value, *n).map(Action::Discrete),
            (Space::Box { .. }, _) if self.contains(element) => Some(Action::Continuous(element)),
            _ => None,
        }
    }

    /// How many inputs a network sees: discrete parts one-hot, boxes as they are.
    pub fn features(&self) -> usize {
        match self {
            Space::Discrete { n } => *n,
            Space::Tuple { sizes } => sizes.iter().sum(),
            Space::Box { low, .. } => low.len(),
        }
    }

    /// Writes what a network sees of `element` into `features` ([`Space::features`] numbers).
    pub fn encode(&self, element: &[f32], features: &mut [f32]) {
        match self {
            Space::Discrete { .. } => {
                features.fill(0.0);
                features[element[0] as usize] = 1.0;
            }
            Space::Tuple { sizes } => {
                features.fill(0.0);
                let mut offset = 0;
                for (&value, &n) in element.iter().zip(sizes) {
                    features[offset + value as usize] = 1.0;
                    offset += n;
                }
            }
            Space::Box { .. } => features.copy_from_slice(element),
        }
    }

    /// Replaces `features` by what a network sees of `elements`, one after another, and returns how many
    /// there are.
    pub fn encode_all(&self, elements: &[f32], features: &mut Vec<f32>) -> usize {
        let (len, width) = (self.len(), self.features());
        let rows = elements.len() / len;
        features.resize(rows * width, 0.0);
        for (from, to) in elements.chunks_exact(len).zip(features.chunks_exact_mut(width)) {
            self.encode(from, to);
        }
        rows
    }

    /// Bounds of each dimension of a box, nothing for the others. Dimensions without a bound get -1 or 1
    /// instead.
    pub fn finite_bounds(&self) -> impl Iterator<Item = (f32, f32)> {
        let (low, high): (&[f32], &[f32]) = match self {
            Space::Box { low, high, .. } => (low, high),
            _ => (&[], &[]),
        };
        let bound = |bound: f32, default| if bound.is_finite() { bound } else { default };
        low.iter().zip(high).map(move |(&low, &high)| (bound(low, -1.0), bound(high, 1.0)))
    }

    /// Draws an element uniformly, a box's between its [`Space::finite_bounds`].
    pub fn sample(&self, rng: &mut Rng, element: &mut [f32]) {
        match self {
            Space::Discrete { n } => element[0] = rng.random_range(0..*n) as f32,
            Space::Tuple { sizes } => {
                for (value, n) in element.iter_mut().zip(sizes) {
                    *value = rng.random_range(0..*n) as f32;
                }
            }
            Space::Box { .. } => {
                for (value, (low, high)) in element.iter_mut().zip(self.finite_bounds()) {
                    *value = rng.random_range(low..=high);
                }
            }
        }
    }

    /// The number of actions of a discrete space, `None` for any other.
    pub fn discrete(&self) -> Option<usize> {
        match self {
            Space::Discrete { n } => Some(*n),
            _ => None,
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Discrete { n } => write!(f, "Discrete({n})"),
            Space::Tuple { sizes } => {
                let parts: Vec<_> = sizes.iter().map(|n| format!("Discrete({n})")).collect();
                write!(f, "Tuple({})", parts.join(", "))
            }
            Space::Box { low, high, shape } => {
                let bound = |values: &[f32]| {
                    if values.iter().all(|v| *v == values[0]) {
                        values[0].to_string()
                    } else {
                        format!("{values:?}")
                    }
                };
                write!(f, "Box({}, {}, {shape:?})", bound(low), bound(high))
            }
        }
    }
}
