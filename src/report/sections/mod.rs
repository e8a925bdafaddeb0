//! The sections of a report, one file each.

use super::block::Block;
use super::model::Report;

mod comparison;
mod curves;
mod diagnostics;
mod environment;
mod evaluation;
mod failures;
mod gate;
mod history;
mod network;
mod profile;
mod reproduce;
mod search;
mod settings;
mod speed;
pub(super) mod suite;
pub(super) mod takes;
mod threshold;
pub(super) mod verdict;

/// A part of the page with a title.
pub(super) trait Section: Sync {
    /// Its anchor.
    fn id(&self) -> &'static str;

    /// Its title.
    fn title(&self) -> &'static str;

    /// A sentence beside the title.
    fn lead(&self, report: &Report) -> String;

    /// Whether it holds agents against each other, which only those of one environment can be.
    fn compares(&self) -> bool {
        false
    }

    /// Its content; a section without any is left out.
    ///
    /// # Errors
    /// Fails if a chart cannot be laid out.
    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>>;
}

/// Every section, in the order of the page.
pub(super) static SECTIONS: &[&dyn Section] = &[
    &failures::Failures,
    &gate::Gate,
    &suite::Suite,
    &takes::Takes,
    &search::Search,
    &comparison::Comparison,
    &curves::Curves,
    &evaluation::Evaluation,
    &profile::Profile,
    &threshold::Threshold,
    &diagnostics::Diagnostics,
    &history::History,
    &speed::Speed,
    &settings::Settings,
    &network::Network,
    &environment::Environment,
    &reproduce::Reproduce,
];
