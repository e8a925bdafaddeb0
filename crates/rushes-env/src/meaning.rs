//! What the numbers of observations and actions mean.

use serde::Serialize;

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
