//! Spaces: what observations and actions look like.

use std::fmt;

use indexmap::IndexMap;
use rand::RngExt as _;
use serde::Serialize;

use rushes_rng::Rng;

/// A set of observations or actions (Gymnasium's `Space`). Elements travel as flat `f32` buffers of
/// [`Space::len`] numbers, composite ones part by part. Networks see [`Space::features`] numbers, in the order of
/// Gymnasium's `flatten_space`: discrete numbers one-hot, those of uint8 boxes divided by 255 as Stable-Baselines3's
/// `normalize_images` does with pictures, everything else as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Space {
    /// The whole numbers `0 … n-1`; one number in a buffer.
    Discrete {
        /// How many.
        n: usize,
    },
    /// Whole numbers side by side, each `0 … n-1` with an `n` of its own; one number each in a buffer.
    MultiDiscrete {
        /// How many values each has.
        nvec: Vec<usize>,
    },
    /// Zeros and ones.
    MultiBinary {
        /// How many.
        n: usize,
    },
    /// Other spaces one after another (Blackjack).
    Tuple {
        /// The parts.
        spaces: Vec<Space>,
    },
    /// Other spaces by name, one after another; [`Space::dict`] puts them into Gymnasium's order.
    Dict {
        /// The parts.
        spaces: IndexMap<String, Space>,
    },
    /// A box of numbers, row-major.
    Box {
        /// What its numbers are.
        dtype: Dtype,
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

/// What the numbers of a box are. Buffers hold `f32` all the same, which every one of them fits into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// Real numbers.
    #[default]
    Float32,
    /// Whole numbers from 0 to 255, as pictures have them. What keeps observations keeps them as bytes.
    Uint8,
}

/// The whole number below `n` that `value` is, if it is one. (The conversion back is cheaper than
/// `fract`, a library call on plain x86-64.)
#[inline]
fn index(value: f32, n: usize) -> Option<usize> {
    let index = value as i32;
    (index as f32 == value && (index as usize) < n).then_some(index as usize)
}

fn bounds<S: serde::Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().copied().map(bound))
}

/// JSON has no infinities: they are written as the strings `"inf"` and `"-inf"`.
pub(crate) fn bound(value: f32) -> serde_json::Value {
    match value.is_finite() {
        true => serde_json::json!(value),
        false => serde_json::json!(value.to_string()),
    }
}

/// One action, as environments take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action<'a> {
    /// An index into a discrete space.
    Discrete(usize),
    /// A point of a box.
    Continuous(&'a [f32]),
    /// An element of any other space, flat.
    Composite(&'a [f32]),
}

impl<'a> Action<'a> {
    /// The index of a discrete action.
    ///
    /// # Panics
    /// Panics for an action of another space; [`crate::TimeLimit`] lets none through.
    #[inline]
    pub fn index(self) -> usize {
        match self {
            Action::Discrete(index) => index,
            Action::Continuous(_) | Action::Composite(_) => panic!("expected a discrete action"),
        }
    }

    /// What `take` makes of its flat form, the one that [`Space::action`] reads.
    #[inline]
    pub fn flat<R>(self, take: impl FnOnce(&[f32]) -> R) -> R {
        match self {
            Action::Discrete(index) => take(&[index as f32]),
            Action::Continuous(vector) | Action::Composite(vector) => take(vector),
        }
    }

    /// The numbers of a continuous or composite action.
    ///
    /// # Panics
    /// Panics for a discrete action; [`crate::TimeLimit`] lets none through.
    #[inline]
    pub fn vector(self) -> &'a [f32] {
        match self {
            Action::Continuous(vector) | Action::Composite(vector) => vector,
            Action::Discrete(_) => panic!("expected an action of several numbers"),
        }
    }
}

impl Space {
    /// A box of one dimension with the same bounds for all `len` elements.
    pub fn uniform_box(low: f32, high: f32, len: usize) -> Self {
        Self::float_box(vec![low; len], vec![high; len], vec![len])
    }

    /// A box of real numbers, row-major, with the bounds of each.
    pub fn float_box(low: Vec<f32>, high: Vec<f32>, shape: Vec<usize>) -> Self {
        Space::Box { dtype: Dtype::Float32, low, high, shape }
    }

    /// A picture: whole numbers from 0 to 255 in an array of this shape, row-major.
    pub fn picture(shape: &[usize]) -> Self {
        let len = shape.iter().product();
        let (low, high) = (vec![0.0; len], vec![255.0; len]);
        Space::Box { dtype: Dtype::Uint8, low, high, shape: shape.to_vec() }
    }

    /// A box of one dimension, symmetric about zero.
    pub fn symmetric_box(high: Vec<f32>) -> Self {
        let shape = vec![high.len()];
        Self::float_box(high.iter().map(|h| -h).collect(), high, shape)
    }

    /// Named spaces in Gymnasium's order, that of their names.
    pub fn dict<S: Into<String>>(spaces: impl IntoIterator<Item = (S, Space)>) -> Self {
        let mut spaces: IndexMap<String, Space> =
            spaces.into_iter().map(|(name, space)| (name.into(), space)).collect();
        spaces.sort_unstable_keys();
        Space::Dict { spaces }
    }

    /// The parts of a composite space, in order; empty for the others.
    pub fn parts(&self) -> impl Iterator<Item = &Space> {
        let (tuple, dict) = match self {
            Space::Tuple { spaces } => (Some(spaces), None),
            Space::Dict { spaces } => (None, Some(spaces)),
            _ => (None, None),
        };
        tuple.into_iter().flatten().chain(dict.into_iter().flat_map(IndexMap::values))
    }

    /// How many `f32` numbers an element takes in a buffer.
    #[expect(clippy::len_without_is_empty, reason = "no space is empty")]
    pub fn len(&self) -> usize {
        match self {
            Space::Discrete { .. } => 1,
            Space::MultiDiscrete { nvec } => nvec.len(),
            Space::MultiBinary { n } => *n,
            Space::Box { low, .. } => low.len(),
            Space::Tuple { .. } | Space::Dict { .. } => self.parts().map(Space::len).sum(),
        }
    }

    /// Whether `element` belongs to this space; NaN never does.
    pub fn contains(&self, element: &[f32]) -> bool {
        let whole = |value: f32, n: usize| index(value, n).is_some();
        element.len() == self.len()
            && match self {
                Space::Discrete { n } => whole(element[0], *n),
                Space::MultiDiscrete { nvec } => {
                    element.iter().zip(nvec).all(|(&v, &n)| whole(v, n))
                }
                Space::MultiBinary { .. } => element.iter().all(|&v| whole(v, 2)),
                Space::Box { dtype, low, high, .. } => {
                    element.iter().zip(low.iter().zip(high)).all(|(v, (l, h))| v >= l && v <= h)
                        && (*dtype == Dtype::Float32 || element.iter().all(|&v| whole(v, 256)))
                }
                Space::Tuple { .. } | Space::Dict { .. } => {
                    let mut rest = element;
                    self.parts().all(|part| {
                        let (own, others) = rest.split_at(part.len());
                        rest = others;
                        part.contains(own)
                    })
                }
            }
    }

    /// The typed form of a flat action, `None` where it is not in this space.
    #[inline]
    pub fn action<'a>(&self, element: &'a [f32]) -> Option<Action<'a>> {
        match (self, element) {
            (Space::Discrete { n }, [value]) => index(*value, *n).map(Action::Discrete),
            _ if self.contains(element) => Some(self.action_unchecked(element)),
            _ => None,
        }
    }

    /// [`Space::action`] of an element that is known to be in this space.
    #[inline]
    pub fn action_unchecked<'a>(&self, element: &'a [f32]) -> Action<'a> {
        match self {
            Space::Discrete { .. } => Action::Discrete(element[0] as usize),
            Space::Box { .. } => Action::Continuous(element),
            _ => Action::Composite(element),
        }
    }

    /// How many inputs a network sees.
    pub fn features(&self) -> usize {
        match self {
            Space::Discrete { n } | Space::MultiBinary { n } => *n,
            Space::MultiDiscrete { nvec } => nvec.iter().sum(),
            Space::Box { low, .. } => low.len(),
            Space::Tuple { .. } | Space::Dict { .. } => self.parts().map(Space::features).sum(),
        }
    }

    /// Of each number that a network sees, whether it is one of a box.
    pub fn box_features(&self) -> Vec<bool> {
        match self {
            Space::Tuple { .. } | Space::Dict { .. } => {
                self.parts().flat_map(Space::box_features).collect()
            }
            _ => vec![matches!(self, Space::Box { .. }); self.features()],
        }
    }

    /// Writes what a network sees of `element` into `features` ([`Space::features`] numbers).
    pub fn encode(&self, element: &[f32], features: &mut [f32]) {
        match self {
            Space::Discrete { .. } => {
                features.fill(0.0);
                features[element[0] as usize] = 1.0;
            }
            Space::MultiDiscrete { nvec } => {
                features.fill(0.0);
                let mut offset = 0;
                for (&value, &n) in element.iter().zip(nvec) {
                    features[offset + value as usize] = 1.0;
                    offset += n;
                }
            }
            Space::Box { dtype: Dtype::Uint8, .. } => {
                for (feature, value) in features.iter_mut().zip(element) {
                    *feature = value / 255.0;
                }
            }
            Space::MultiBinary { .. } | Space::Box { .. } => features.copy_from_slice(element),
            Space::Tuple { .. } | Space::Dict { .. } => {
                let (mut element, mut features) = (element, features);
                for part in self.parts() {
                    let (own, others) = element.split_at(part.len());
                    let (to, rest) = features.split_at_mut(part.features());
                    part.encode(own, to);
                    (element, features) = (others, rest);
                }
            }
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
            Space::MultiDiscrete { nvec } => {
                for (value, n) in element.iter_mut().zip(nvec) {
                    *value = rng.random_range(0..*n) as f32;
                }
            }
            Space::MultiBinary { .. } => {
                element.iter_mut().for_each(|value| *value = rng.random_range(0..2) as f32);
            }
            Space::Tuple { .. } | Space::Dict { .. } => {
                let mut rest = element;
                for part in self.parts() {
                    let (own, others) = rest.split_at_mut(part.len());
                    part.sample(rng, own);
                    rest = others;
                }
            }
            Space::Box { dtype, .. } => {
                for (value, (low, high)) in element.iter_mut().zip(self.finite_bounds()) {
                    *value = match dtype {
                        Dtype::Float32 => rng.random_range(low..=high),
                        Dtype::Uint8 => rng.random_range(low as u8..=high as u8).into(),
                    };
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

impl Space {
    /// How many values each number of an element has, where all of them are whole: the sizes of a table over
    /// this space. `None` where a box is among its parts.
    pub fn discrete_parts(&self) -> Option<Vec<usize>> {
        match self {
            Space::Discrete { n } => Some(vec![*n]),
            Space::MultiDiscrete { nvec } => Some(nvec.clone()),
            Space::MultiBinary { n } => Some(vec![2; *n]),
            Space::Box { .. } => None,
            Space::Tuple { .. } | Space::Dict { .. } => {
                let parts: Option<Vec<_>> = self.parts().map(Space::discrete_parts).collect();
                parts.map(|parts| parts.concat())
            }
        }
    }

    /// Whether this is a box of real numbers: the action space of algorithms for continuous actions.
    pub fn is_continuous(&self) -> bool {
        matches!(self, Space::Box { dtype: Dtype::Float32, .. })
    }

    /// Whether this is a single discrete number or a box of real numbers.
    pub fn is_discrete_or_box(&self) -> bool {
        self.discrete().is_some() || self.is_continuous()
    }

    /// Whether every number of an element fits into a byte.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Space::Box { dtype: Dtype::Uint8, .. })
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Discrete { n } => write!(f, "Discrete({n})"),
            Space::MultiDiscrete { nvec } => write!(f, "MultiDiscrete({nvec:?})"),
            Space::MultiBinary { n } => write!(f, "MultiBinary({n})"),
            Space::Tuple { spaces } => {
                let parts: Vec<_> = spaces.iter().map(Space::to_string).collect();
                write!(f, "Tuple({})", parts.join(", "))
            }
            Space::Dict { spaces } => {
                let part = |(name, space): (&String, &Space)| format!("{name:?}: {space}");
                let parts: Vec<_> = spaces.iter().map(part).collect();
                write!(f, "Dict({})", parts.join(", "))
            }
            Space::Box { dtype, low, high, shape } => {
                let bound = |values: &[f32]| {
                    if values.iter().all(|v| *v == values[0]) {
                        values[0].to_string()
                    } else {
                        format!("{values:?}")
                    }
                };
                let dtype = match dtype {
                    Dtype::Float32 => "",
                    Dtype::Uint8 => ", uint8",
                };
                write!(f, "Box({}, {}, {shape:?}{dtype})", bound(low), bound(high))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gymnasium's `flatten_space` and `flatten` of
    /// `Dict(b=Tuple(Discrete(3), Box(0, 1, (2,))), a=MultiDiscrete([2, 3]), c=MultiBinary(2))`.
    #[test]
    fn composite_elements_flatten_in_gymnasiums_order() {
        let tuple = Space::Tuple {
            spaces: vec![Space::Discrete { n: 3 }, Space::uniform_box(0.0, 1.0, 2)],
        };
        let space = Space::dict([
            ("b", tuple),
            ("a", Space::MultiDiscrete { nvec: vec![2, 3] }),
            ("c", Space::MultiBinary { n: 2 }),
        ]);
        let element = [1.0, 2.0, 0.0, 0.25, 0.75, 1.0, 0.0];
        assert_eq!((space.len(), space.features()), (7, 5 + 5 + 2));
        assert!(space.contains(&element));
        let mut features = vec![9.0; 12];
        space.encode(&element, &mut features);
        let expected = [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.25, 0.75, 1.0, 0.0];
        assert_eq!(features, expected);
        assert_eq!(space.action(&element), Some(Action::Composite(&element)));
        assert_eq!(space.discrete_parts(), None);
        let boxes: Vec<_> = (0..12).map(|feature| (8..10).contains(&feature)).collect();
        assert_eq!(space.box_features(), boxes);
        for (at, bad) in [(0, 2.0), (1, 3.0), (2, 3.0), (3, 1.5), (5, 0.5), (6, f32::NAN)] {
            let mut element = element;
            element[at] = bad;
            assert!(!space.contains(&element), "{bad} at {at}");
        }
    }

    #[test]
    fn a_picture_has_whole_numbers_that_networks_see_as_shares_of_255() {
        let space = Space::picture(&[2, 1, 3]);
        assert_eq!(space.to_string(), "Box(0, 255, [2, 1, 3], uint8)");
        assert!(space.is_bytes() && !space.is_continuous() && !space.is_discrete_or_box());
        let element = [0.0, 1.0, 2.0, 128.0, 254.0, 255.0];
        assert!(space.contains(&element));
        let mut features = [f32::NAN; 6];
        space.encode(&element, &mut features);
        assert_eq!(features, element.map(|value| value / 255.0));
        for bad in [0.5, -1.0, 256.0, f32::NAN] {
            let mut element = element;
            element[3] = bad;
            assert!(!space.contains(&element), "{bad}");
        }
        let mut rng = rushes_rng::stream(1, rushes_rng::Purpose::Exploration, 0);
        let mut drawn = [f32::NAN; 6];
        for _ in 0..50 {
            space.sample(&mut rng, &mut drawn);
            assert!(space.contains(&drawn), "{drawn:?}");
        }
    }

    #[test]
    fn draws_of_composite_spaces_belong_to_them() {
        let space = Space::Tuple {
            spaces: vec![Space::MultiBinary { n: 3 }, Space::MultiDiscrete { nvec: vec![2, 5] }],
        };
        assert_eq!(space.discrete_parts(), Some(vec![2, 2, 2, 2, 5]));
        let mut rng = rushes_rng::stream(1, rushes_rng::Purpose::Exploration, 0);
        let mut element = [0.0; 5];
        for _ in 0..100 {
            space.sample(&mut rng, &mut element);
            assert!(space.contains(&element), "{element:?}");
        }
    }
}
