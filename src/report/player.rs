//! The player of takes, as the page's template takes it.

use serde::Serialize;
use serde_json::Value;

/// What the player shows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Player {
    /// The takes that are there when the page opens; the first two are the pair.
    pub(super) shown: Vec<Shown>,
    /// Whether the first two shown are one agent before and after training.
    pub(super) pair: bool,
    /// Every take, for the page's script.
    pub(super) data: Value,
    /// Every take, for readers without scripts.
    pub(super) list: Vec<Link>,
}

/// A take that is on the page from the start.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Shown {
    /// Its number among all takes.
    pub(super) number: usize,
    #[serde(flatten)]
    pub(super) link: Link,
    pub(super) width: u32,
    pub(super) height: u32,
    /// CSS classes of its series.
    pub(super) class: String,
    pub(super) agent: String,
    pub(super) moment: String,
    pub(super) seed: u64,
    pub(super) returns: String,
    /// The address of its first frame, empty where there is none.
    pub(super) poster: String,
    /// Whether it is loaded at once.
    pub(super) eager: bool,
}

/// A take's name and place.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Link {
    pub(super) url: String,
    pub(super) label: String,
}
