//! Options that every MuJoCo environment has, and the types of others.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use crate::problem::Problem;

/// Declares `Config`, the options of an environment: its own ones with their defaults, and those of every MuJoCo
/// environment, whose defaults come first.
macro_rules! options {
    (
        $(#[$about:meta])*
        Config {
            xml_file: $model:literal,
            frame_skip: $frame_skip:literal,
            default_camera_config: $camera:expr,
            $( $(#[$doc:meta])* $name:ident: $type:ty = $default:expr, )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            $( $(#[$doc])* pub $name: $type, )*
            /// The model: a file of Gymnasium's by its name, or one of your own by a path that begins with `/`, `.` or
            /// `~`; relative ones begin where the program was started.
            pub xml_file: String,
            /// How many steps of the simulation a step of the environment makes.
            pub frame_skip: u32,
            /// Where the free camera stands; the one called `track` films where the model has one.
            pub default_camera_config: $crate::mujoco::options::CameraConfig,
            /// The number of the camera that films; -1 is the free one.
            pub camera_id: Option<i32>,
            /// The name of the camera that films.
            pub camera_name: Option<String>,
            /// Width of the picture in pixels.
            pub width: u32,
            /// Height of the picture in pixels.
            pub height: u32,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $( $name: $default, )*
                    xml_file: $model.into(),
                    frame_skip: $frame_skip,
                    default_camera_config: $camera,
                    camera_id: None,
                    camera_name: None,
                    width: 480,
                    height: 480,
                }
            }
        }

        impl Config {
            fn setup(&self) -> $crate::mujoco::options::Setup {
                $crate::mujoco::options::Setup {
                    xml_file: self.xml_file.clone(),
                    frame_skip: self.frame_skip,
                    camera: self.default_camera_config.clone(),
                    camera_id: self.camera_id,
                    camera_name: self.camera_name.clone(),
                    frame_size: (self.width, self.height),
                }
            }
        }
    };
}
pub(super) use options;

/// What an environment's options say of the simulation and its picture.
pub(super) struct Setup {
    pub(super) xml_file: String,
    pub(super) frame_skip: u32,
    pub(super) camera: CameraConfig,
    pub(super) camera_id: Option<i32>,
    pub(super) camera_name: Option<String>,
    pub(super) frame_size: (u32, u32),
}

/// The options that Gymnasium's v4 environments do not have.
pub(super) const SINCE_V5: &[&str] = &["xml_file", "frame_skip", "default_camera_config"];

/// A free camera: degrees and metres. What is left out is MuJoCo's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// Distance from the point that it looks at; by default the size of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
    /// The point that it looks at; by default the middle of the model's geoms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookat: Option<[f64; 3]>,
    /// Its direction about the vertical axis; 90 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azimuth: Option<f64>,
    /// Its direction above the horizon; -45 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevation: Option<f64>,
    /// Taken and left alone, as Gymnasium's free camera does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trackbodyid: Option<i32>,
}

/// The two bounds of a range; infinities are the strings `"inf"` and `"-inf"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Range(pub [Bound; 2]);

impl Range {
    /// From `low` to `high`.
    pub const fn new(low: f64, high: f64) -> Self {
        Self([Bound(low), Bound(high)])
    }

    /// The least and the greatest.
    pub fn bounds(self) -> [f64; 2] {
        self.0.map(|Bound(bound)| bound)
    }

    /// Whether `x` lies inside, the bounds left out.
    pub fn holds(self, x: f64) -> bool {
        let [low, high] = self.bounds();
        low < x && x < high
    }
}

impl JsonSchema for Range {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Range".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "items": { "anyOf": [{ "type": "number" }, { "enum": ["inf", "-inf"] }] },
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

/// One bound of a [`Range`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound(pub f64);

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"inf\" or \"-inf\"")
            }

            fn visit_f64<E>(self, number: f64) -> Result<Bound, E> {
                Ok(Bound(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Bound, E> {
                Ok(Bound(number as f64))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Bound, E> {
                Ok(Bound(number as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bound, E> {
                match text {
                    "inf" => Ok(Bound(f64::INFINITY)),
                    "-inf" => Ok(Bound(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Refuses a `reset_noise_scale` that no uniform distribution has.
pub(super) fn check_noise(scale: f64) -> Result<(), Problem> {
    if scale >= 0.0 && scale.is_finite() {
        return Ok(());
    }
    Err(Problem::new(
        &["reset_noise_scale"],
        format!("expected a number of at least 0, got {scale}"),
    ))
}
