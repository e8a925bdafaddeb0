//! Training diagnostics between two lines of the event log.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Running means of named metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricMeans {
    sums: IndexMap<String, (f64, u64)>,
}

impl MetricMeans {
    /// Adds one update's value of a metric, by the field's name for it.
    pub fn add(&mut self, name: &str, value: f64) {
        match self.sums.get_mut(name) {
            Some((sum, count)) => {
                *sum += value;
                *count += 1;
            }
            None => {
                self.sums.insert(name.to_owned(), (value, 1));
            }
        }
    }

    /// Whether nothing was added since the last [`MetricMeans::take`].
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The means so far; starts over.
    pub fn take(&mut self) -> IndexMap<String, f64> {
        let means = |(name, (sum, count)): (String, (f64, u64))| (name, sum / count as f64);
        std::mem::take(&mut self.sums).into_iter().map(means).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::MetricMeans;

    #[test]
    fn means_start_over_when_taken() {
        let mut means = MetricMeans::default();
        means.add("loss", 1.0);
        means.add("loss", 2.0);
        assert_eq!(means.take()["loss"], 1.5);
        assert!(means.is_empty());
        means.add("loss", 5.0);
        assert_eq!(means.take()["loss"], 5.0);
    }
}
