//! Toy text: small worlds with countable states, whose best policies can be computed.

pub mod blackjack;
pub mod cliff_walking;
pub mod frozen_lake;
mod pixel_font;
mod sprites;
pub mod tabular;
pub mod taxi;
