//! Rewards as whoever learns sees them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::numpy::sign;

/// How rewards are clipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RewardClip {
    /// To this range.
    Range([f64; 2]),
    /// To their sign: -1, 0 or 1, as usual for Atari games (Mnih et al. 2015).
    Sign,
}

/// What becomes of a reward before an algorithm learns from it. Returns are sums of the environment's own rewards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RewardTransform {
    /// What it is multiplied by.
    pub scale: f64,
    /// How it is clipped after that.
    pub clip: Option<RewardClip>,
}

impl RewardTransform {
    /// Rewards as they are.
    pub const IDENTITY: Self = Self { scale: 1.0, clip: None };

    /// The reward that an algorithm learns from.
    #[inline]
    pub fn apply(self, reward: f64) -> f64 {
        let scaled = self.scale * reward;
        match self.clip {
            None => scaled,
            Some(RewardClip::Range([low, high])) => scaled.clamp(low, high),
            Some(RewardClip::Sign) => sign(scaled),
        }
    }
}

impl Serialize for RewardClip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Range(ends) => ends.serialize(serializer),
            Self::Sign => "sign".serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RewardClip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "sign" => Ok(Self::Sign),
            value => serde_json::from_value(value)
                .map(Self::Range)
                .map_err(|_| de::Error::custom(r#"expected [low, high] or "sign""#)),
        }
    }
}

impl JsonSchema for RewardClip {
    fn schema_name() -> Cow<'static, str> {
        "RewardClip".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How rewards are clipped: to a range [low, high], or to their \"sign\".",
            "type": ["array", "string"],
            "items": { "type": "number", "format": "double" },
            "minItems": 2,
            "maxItems": 2,
            "pattern": "^sign$",
        })
    }
}
