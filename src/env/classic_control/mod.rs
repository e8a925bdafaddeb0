//! Classic control: small mechanical systems in float64, observed in float32.

pub mod cartpole;
