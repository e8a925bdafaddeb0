//! What the numbers of observations and actions mean.

use serde::{Serialize, Serializer};

use crate::space::{Space, bound};

/// What a number of an observation or an action is, or what one value of a discrete one does (Atari's
/// `get_action_meanings`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// Its name, in a few words.
    pub name: String,
    /// Its unit; empty where it has none.
    pub unit: String,
}

impl Meaning {
    /// Of numbers with their units.
    pub fn of_numbers(table: &[(&str, &str)]) -> Vec<Self> {
        let meaning = |&(name, unit): &(&str, &str)| Self { name: name.into(), unit: unit.into() };
        table.iter().map(meaning).collect()
    }

    /// Of the values of a discrete space.
    pub fn of_values(names: &[&str]) -> Vec<Self> {
        names.iter().map(|&name| Self { name: name.into(), unit: String::new() }).collect()
    }
}

/// A row of an environment's table: a number of a box, or a value of a discrete space.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Channel {
    /// Its place in the space.
    pub index: usize,
    /// What it means.
    #[serde(flatten)]
    pub meaning: Meaning,
    /// Of a box: the smallest value that it can have, `-inf` where there is none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_bound")]
    pub low: Option<f32>,
    /// Of a box: the largest value that it can have, `inf` where there is none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_bound")]
    pub high: Option<f32>,
}

fn some_bound<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(bound).serialize(serializer)
}

impl Channel {
    /// The table of `space`, whose numbers or values mean this.
    pub fn table(space: &Space, meanings: Vec<Meaning>) -> Vec<Self> {
        let (low, high): (&[f32], &[f32]) = match space {
            Space::Box { low, high, .. } => (low, high),
            _ => (&[], &[]),
        };
        let row = |(index, meaning)| Self {
            index,
            meaning,
            low: low.get(index).copied(),
            high: high.get(index).copied(),
        };
        meanings.into_iter().enumerate().map(row).collect()
    }
}
