//! What imagined episodes earn.

/// Discounted returns of imagined episodes, each weighted by the probability that it has not ended yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Returns {
    discount: f64,
    sums: Vec<f64>,
    /// What the next reward counts: the discount so far times the probability of getting there.
    weights: Vec<f64>,
}

impl Returns {
    /// Starts so many episodes.
    pub fn begin(&mut self, episodes: usize, discount: f64) {
        self.discount = discount;
        self.sums.clear();
        self.sums.resize(episodes, 0.0);
        self.weights.clear();
        self.weights.resize(episodes, 1.0);
    }

    /// Replaces every episode by `copies` of it, one after another.
    pub fn branch(&mut self, copies: usize) {
        repeat_rows(&mut self.sums, 1, copies);
        repeat_rows(&mut self.weights, 1, copies);
    }

    /// A step of `episode`: its reward, and the probability that it ended the episode.
    pub fn earn(&mut self, episode: usize, reward: f64, ended: f64) {
        self.sums[episode] += self.weights[episode] * reward;
        self.weights[episode] *= self.discount * (1.0 - ended);
    }

    /// Whether nothing that `episode` earns counts any more.
    pub fn is_over(&self, episode: usize) -> bool {
        self.weights[episode] == 0.0
    }

    /// The returns so far.
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }
}

/// Replaces every row of `width` numbers by `copies` of it, one after another.
pub fn repeat_rows<N: Copy>(rows: &mut Vec<N>, width: usize, copies: usize) {
    let repeated = rows.chunks_exact(width).flat_map(|row| std::iter::repeat_n(row, copies));
    *rows = repeated.flatten().copied().collect();
}
