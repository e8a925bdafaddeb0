//! Blackjack: get closer to 21 than the dealer without going over.
//!
//! After Sutton and Barto, "Reinforcement learning: an introduction", example 5.1, as in Gymnasium 1.1.1
//! `envs/toy_text/blackjack.py`. Cards come from an endless deck.
//!
//! # Action space
//! `Discrete(2)`: 0 sticks, 1 hits.
//!
//! # Observation space
//! `Tuple(Discrete(32), Discrete(11), Discrete(2))`: the player's sum, the dealer's open card (1 is the
//! ace), and whether the player holds an ace that counts 11.
//!
//! # Rewards
//! +1 for a won game, -1 for a lost one, 0 for a draw and while it goes on. With `natural` (and without
//! `sab`) a win with an ace and a ten dealt at once earns 1.5. With `sab` such a hand wins unless the dealer
//! has one, too.
//!
//! # Starting state
//! Two cards each.
//!
//! # Episode end
//! Terminates when the player sticks or goes over 21; no time limit.
//!
//! # Version history
//! - v1: corrected handling of naturals.
//!
//! `tabular/Blackjack-v0` is Gymnasium's environment in JAX: the same rules and odds, another random stream, so that a seed
//! deals other cards here than there. Gymnasium writes the observation as a box of whole numbers.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{pixel_font, sprites};
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Step};
use crate::meaning::Meaning;
use crate::policy::{FromFn, Policy};
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, EnvSpec, TABULAR, TOY_TEXT};
use rushes_rng::NpRandom;

/// Ace, two to ten, and three pictures worth ten.
const DECK: [u8; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10];
const FRAME: (u32, u32) = (600, 500);

/// Gymnasium's Blackjack-v1.
pub fn v1() -> EnvSpec {
    EnvSpec {
        family: TOY_TEXT.into(),
        summary: "get closer to 21 than the dealer without going over".into(),
        max_episode_steps: None,
        reward_threshold: None,
        render_fps: 4,
        policies: vec![optimal_policy::<Config>()],
        ..EnvSpec::new("Blackjack-v1", |config| Ok(Box::new(Blackjack::new(config))))
    }
}

fn optimal_policy<C: DeserializeOwned>() -> BuiltinPolicy {
    BuiltinPolicy::new(
        "optimal",
        "the best action for every hand and open card, computed by dynamic programming",
        |_: C| Ok(optimal()),
    )
}

/// Gymnasium's tabular/Blackjack-v0.
pub fn tabular_v0() -> EnvSpec {
    EnvSpec {
        family: TABULAR.into(),
        summary: "Blackjack as Gymnasium has it in JAX; seeds deal other cards".into(),
        render_fps: 4,
        policies: vec![optimal_policy::<TabularConfig>()],
        ..EnvSpec::new(
            "tabular/Blackjack-v0",
            |TabularConfig { natural, sutton_and_barto: sab }| {
                Ok(Box::new(Blackjack::new(Config { natural, sab })))
            },
        )
    }
}

/// Options of tabular/Blackjack-v0.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TabularConfig {
    /// Pay 1.5 for winning with an ace and a ten dealt at once; ignored with `sutton_and_barto`.
    pub natural: bool,
    /// Follow Sutton and Barto's rules: an ace and a ten dealt at once win unless the dealer has them, too.
    pub sutton_and_barto: bool,
}

impl Default for TabularConfig {
    fn default() -> Self {
        Self { natural: false, sutton_and_barto: true }
    }
}

/// Options of Blackjack.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Pay 1.5 for winning with an ace and a ten dealt at once; ignored with `sab`.
    pub natural: bool,
    /// Follow Sutton and Barto's rules: an ace and a ten dealt at once win unless the dealer has them, too.
    pub sab: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { natural: false, sab: true }
    }
}

/// A hand of cards, as far as the rules look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Hand {
    cards: u32,
    /// The sum with aces as 1.
    hard_sum: u32,
    has_ace: bool,
}

impl Hand {
    fn add(&mut self, card: u8) {
        self.cards += 1;
        self.hard_sum += u32::from(card);
        self.has_ace |= card == 1;
    }

    fn usable_ace(self) -> bool {
        self.has_ace && self.hard_sum + 10 <= 21
    }

    fn sum(self) -> u32 {
        if self.usable_ace() { self.hard_sum + 10 } else { self.hard_sum }
    }

    fn is_bust(self) -> bool {
        self.sum() > 21
    }

    /// The sum, 0 for a bust.
    fn score(self) -> u32 {
        if self.is_bust() { 0 } else { self.sum() }
    }

    fn is_natural(self) -> bool {
        self.cards == 2 && self.has_ace && self.hard_sum == 11
    }
}

#[derive(Clone)]
struct Blackjack {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    player: Hand,
    dealer: Hand,
    /// The dealer's first card.
    open_card: u8,
    /// Of the open card, for drawing: clubs, diamonds, hearts, spades.
    suit: usize,
    /// Of an open card worth ten, for drawing: jack, queen, king.
    picture: usize,
}

impl Blackjack {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: Space::Tuple {
                spaces: [32, 11, 2].map(|n| Space::Discrete { n }).to_vec(),
            },
            action_space: Space::Discrete { n: 2 },
            np_random: NpRandom::new(0),
            player: Hand::default(),
            dealer: Hand::default(),
            open_card: 1,
            suit: 0,
            picture: 0,
        }
    }

    fn draw_card(&mut self) -> u8 {
        DECK[self.np_random.choice(DECK.len())]
    }

    /// The dealer's turn and the outcome.
    fn settle(&mut self) -> f64 {
        while self.dealer.sum() < 17 {
            let card = self.draw_card();
            self.dealer.add(card);
        }
        let reward = match self.player.score().cmp(&self.dealer.score()) {
            std::cmp::Ordering::Less => -1.0,
            std::cmp::Ordering::Equal => 0.0,
            std::cmp::Ordering::Greater => 1.0,
        };
        if !self.player.is_natural() {
            reward
        } else if self.config.sab {
            if self.dealer.is_natural() { reward } else { 1.0 }
        } else if self.config.natural && reward == 1.0 {
            1.5
        } else {
            reward
        }
    }
}

impl Env for Blackjack {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&["player's sum", "dealer's open card", "whether an ace counts 11"])
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&["stick", "hit"])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        (self.dealer, self.player) = (Hand::default(), Hand::default());
        self.open_card = self.draw_card();
        let hidden = self.draw_card();
        self.dealer.add(self.open_card);
        self.dealer.add(hidden);
        for _ in 0..2 {
            let card = self.draw_card();
            self.player.add(card);
        }
        // The open card's looks come from the same stream.
        self.suit = self.np_random.choice(4);
        if self.open_card == 10 {
            self.picture = self.np_random.choice(3);
        }
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let step = if action.index() == 1 {
            let card = self.draw_card();
            self.player.add(card);
            let terminated = self.player.is_bust();
            Step::new(if terminated { -1.0 } else { 0.0 }, terminated)
        } else {
            Step::new(self.settle(), true)
        };
        Ok(step)
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let usable_ace = f32::from(u8::from(self.player.usable_ace()));
        let seen = [self.player.sum() as f32, self.open_card.into(), usable_ace];
        observation.copy_from_slice(&seen);
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        FRAME
    }

    fn draw(&self, canvas: &mut Canvas) {
        const CARD: (f32, f32) = (119.0, 166.0);
        const TOP: f32 = 83.0;
        const SMALL: f32 = 3.5;
        const LARGE: f32 = 9.0;
        let text = |canvas: &mut Canvas, text: &str, at: (f32, f32), pixel: f32| {
            pixel_font::write(canvas, text, at, pixel, Color::WHITE);
        };
        let centered = |text: &str, pixel| (FRAME.0 as f32 - pixel_font::width(text, pixel)) / 2.0;

        canvas.clear(Color::rgb(7, 99, 36));
        text(canvas, &format!("Dealer: {}", self.open_card), (25.0, 26.0), SMALL);
        let middle = FRAME.0 as f32 / 2.0;
        let rank = match self.open_card {
            1 => "A",
            10 => ["J", "Q", "K"][self.picture],
            number => ["2", "3", "4", "5", "6", "7", "8", "9"][usize::from(number) - 2],
        };
        let at = (middle - CARD.0 - 12.0, TOP);
        sprites::card(canvas, at, CARD, rank, self.open_card, self.suit);
        sprites::card_back(canvas, (middle + 12.0, TOP), CARD);
        text(canvas, "Player", (25.0, 287.0), SMALL);
        let sum = self.player.sum().to_string();
        text(canvas, &sum, (centered(&sum, LARGE), 344.0), LARGE);
        if self.player.usable_ace() {
            text(canvas, "usable ace", (centered("usable ace", SMALL), 425.0), SMALL);
        }
    }
}

/// The expected results of sticking and hitting decide every hand. (A natural is a sum of 21, on which one
/// sticks whatever it pays.)
fn optimal() -> Box<dyn Policy> {
    let table: Vec<[[bool; 2]; 22]> = (0..=10).map(|open| best_hits(open.max(1))).collect();
    Box::new(FromFn(move |observation: &[f32], action: &mut [f32]| {
        let &[sum, open, usable_ace] = observation else { return };
        let hit = sum <= 21.0 && table[open as usize][sum as usize][usable_ace as usize];
        action[0] = if hit { 1.0 } else { 0.0 };
    }))
}

/// For a dealer's open card: whether to hit, by the player's sum and usable ace.
fn best_hits(open: u8) -> [[bool; 2]; 22] {
    let mut dealer = Hand::default();
    dealer.add(open);
    let mut scores = [0.0; 22];
    dealer_scores(dealer, 1.0, &mut scores);

    let mut hits = [[false; 2]; 22];
    let mut values = [[0.0; 2]; 22];
    // In the order that hits lead through: hard sums from 11 draw to higher ones, soft sums to those or to
    // higher soft ones, and low sums to any.
    let high = (11..=21).rev().map(|sum| (sum, false));
    let soft = (12..=21).rev().map(|sum| (sum, true));
    let low = (2..=10).rev().map(|sum| (sum, false));
    for (sum, usable_ace) in high.chain(soft).chain(low) {
        let below: f64 = scores[..sum].iter().sum();
        let above: f64 = scores[sum + 1..].iter().sum();
        let (stick, hit) = (below - above, hit_value(sum, usable_ace, &values));
        hits[sum][usize::from(usable_ace)] = hit > stick;
        values[sum][usize::from(usable_ace)] = stick.max(hit);
    }
    hits
}

/// The expected result of a hit, given the values of the hands that it may lead to.
fn hit_value(sum: usize, usable_ace: bool, values: &[[f64; 2]; 22]) -> f64 {
    let hard_sum = if usable_ace { sum - 10 } else { sum };
    let value = |&card: &u8| {
        let hand = Hand {
            cards: 3,
            hard_sum: hard_sum as u32 + u32::from(card),
            has_ace: usable_ace || card == 1,
        };
        if hand.is_bust() {
            -1.0
        } else {
            values[hand.sum() as usize][usize::from(hand.usable_ace())]
        }
    };
    DECK.iter().map(value).sum::<f64>() / DECK.len() as f64
}

/// Adds the probabilities of the dealer's final scores.
fn dealer_scores(dealer: Hand, probability: f64, scores: &mut [f64; 22]) {
    for card in DECK {
        let mut hand = dealer;
        hand.add(card);
        let probability = probability / DECK.len() as f64;
        if hand.sum() < 17 {
            dealer_scores(hand, probability, scores);
        } else {
            scores[hand.score() as usize] += probability;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The book's figure 5.2 (its policy is optimal): without a usable ace stick on 17 always and on 12
    /// against 4 to 6; with one hit 17 always and 18 against 9 and 10.
    #[test]
    fn the_rule_hits_and_stands_as_the_books_basic_strategy() {
        for open in 1..=10 {
            let hits = best_hits(open);
            assert!(!hits[17][0] && !hits[20][0] && hits[11][0], "open card {open}");
            assert_eq!(hits[12][0], !(4..=6).contains(&open), "open card {open}");
            assert_eq!(hits[16][0], open == 1 || open >= 7, "open card {open}");
            assert!(hits[17][1] && !hits[19][1], "open card {open}");
            if open > 1 {
                assert_eq!(hits[18][1], open == 9 || open == 10, "open card {open}");
            }
        }
    }
}
