//! The messages of the handshake, as `docs/external-environments.md` specifies them.

use half::f16;
use indexmap::IndexMap;
use rushes_env::{Options, Space, space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of the protocol of environments.
pub const ENVIRONMENT: &str = "rushes-env";
/// The name of the protocol of policies.
pub const POLICY: &str = "rushes-policy";
/// The version of both.
pub const VERSION: u32 = 1;

/// The first line, from this program to an environment.
#[derive(Debug, Clone, Serialize)]
pub struct Hello<'a> {
    /// [`ENVIRONMENT`].
    pub protocol: &'static str,
    /// [`VERSION`].
    pub version: u32,
    /// How many copies of the environment to make.
    pub copies: usize,
    /// Whether [`Command::Render`] may come.
    pub render: bool,
    /// `environment.options` of the experiment.
    pub options: &'a Options,
}

/// The second line, from the environment: what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The version that the other side speaks.
    pub version: u32,
    /// What made the environment, with versions, for the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Where observations come from.
    pub observation_space: WireSpace,
    /// Where actions come from.
    pub action_space: WireSpace,
    /// After how many steps the environment itself truncates an episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<u32>,
    /// The mean return at which the task counts as solved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_threshold: Option<f64>,
    /// Whether equal seeds and actions give equal episodes.
    #[serde(default = "yes")]
    pub deterministic: bool,
    /// Frames per second of its rendering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_fps: Option<f64>,
    /// Height and width of its pictures; absent where it cannot render.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<[u32; 2]>,
    /// Whether options can change between episodes ([`Command::Options`]).
    #[serde(default)]
    pub reconfigurable: bool,
    /// Whether its state can be saved and restored ([`Command::Save`], [`Command::Restore`]).
    #[serde(default)]
    pub snapshots: bool,
    /// What the user should know, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Card {
    /// Frames per second of its films: its own, between 1 and 240, or 30.
    pub fn render_fps(&self) -> u32 {
        self.render_fps.map_or(30, |fps| fps.round().clamp(1.0, 240.0) as u32)
    }
}

fn yes() -> bool {
    true
}

/// The third line, from this program: where the arrays are.
#[derive(Debug, Clone, Serialize)]
pub struct Memory<'a> {
    /// The file to map.
    pub path: &'a str,
    /// Its size in bytes.
    pub size: usize,
    /// The arrays in it.
    pub arrays: Vec<Array>,
}

/// One array in the shared memory: little-endian, row-major.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Array {
    /// What it holds; see the specification.
    pub name: String,
    /// The type of its elements, as NumPy writes it.
    pub dtype: Dtype,
    /// Its shape; the first axis is the copy.
    pub shape: Vec<usize>,
    /// Where it begins, in bytes.
    pub offset: usize,
}

/// What comes back over a line: an error, or what was asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Answer<T> {
    /// It failed.
    Error {
        /// Why: a message or a traceback.
        error: String,
    },
    /// It did not.
    Good(T),
}

/// The last line of the handshake.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Always true.
    pub ready: bool,
}

/// A command: its byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Steps the copies whose `step` is 1, and starts a new episode where one ended and `reset` says so.
    Step = b'S' as isize,
    /// Starts an episode in the copies whose `reset` is not 0.
    Reset = b'R' as isize,
    /// Draws the copies whose `step` is 1 into `frame`.
    Render = b'F' as isize,
    /// The `info` of every copy, as JSON.
    Infos = b'I' as isize,
    /// Other options for the next episode of a copy, as JSON.
    Options = b'O' as isize,
    /// The state of a copy.
    Save = b'G' as isize,
    /// Puts a copy into a state.
    Restore = b'P' as isize,
}

impl Command {
    /// What the command does, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Command::Step => "a step",
            Command::Reset => "a reset",
            Command::Render => "a rendering",
            Command::Infos => "a request for infos",
            Command::Options => "new options",
            Command::Save => "a request for a snapshot",
            Command::Restore => "a snapshot",
        }
    }
}

/// The type of an array's elements, as NumPy writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are NumPy's")]
pub enum Dtype {
    #[serde(rename = "|b1")]
    Bool,
    #[serde(rename = "|u1")]
    U8,
    #[serde(rename = "|i1")]
    I8,
    #[serde(rename = "<u2")]
    U16,
    #[serde(rename = "<i2")]
    I16,
    #[serde(rename = "<u4")]
    U32,
    #[serde(rename = "<i4")]
    I32,
    #[serde(rename = "<u8")]
    U64,
    #[serde(rename = "<i8")]
    I64,
    #[serde(rename = "<f2")]
    F16,
    #[serde(rename = "<f4")]
    F32,
    #[serde(rename = "<f8")]
    F64,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::F32 | Dtype::F64)
    }
}

/// A space as it is told in the handshake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WireSpace {
    /// Numbers within bounds.
    Box {
        /// The type of its numbers.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
        /// Lower bounds: one for all, or one for each number.
        low: Bounds,
        /// Upper bounds.
        high: Bounds,
    },
    /// The whole numbers `start … start + n - 1`.
    Discrete {
        /// How many.
        n: usize,
        /// The first one.
        #[serde(default)]
        start: i64,
    },
    /// Whole numbers side by side.
    MultiDiscrete {
        /// How many values each has, flat.
        nvec: Vec<usize>,
    },
    /// Zeros and ones.
    MultiBinary {
        /// How many.
        n: usize,
    },
    /// Other spaces one after another.
    Tuple {
        /// The parts.
        spaces: Vec<WireSpace>,
    },
    /// Other spaces by name, in the order of their names.
    Dict {
        /// The parts.
        spaces: IndexMap<String, WireSpace>,
    },
}

/// Bounds of a box: one for all its numbers, or one for each; `"inf"` and `"-inf"` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bounds {
    /// One each.
    Each(Vec<Value>),
    /// The same for all.
    One(Value),
}

impl Bounds {
    fn of(bounds: &[f32]) -> Self {
        let bound = |&bound: &f32| match bound {
            f32::INFINITY => Value::from("inf"),
            f32::NEG_INFINITY => Value::from("-inf"),
            bound => Value::from(bound),
        };
        match bounds {
            [first, others @ ..] if others.iter().all(|other| other == first) => {
                Self::One(bound(first))
            }
            bounds => Self::Each(bounds.iter().map(bound).collect()),
        }
    }

    /// The bounds of `len` numbers.
    fn expand(&self, len: usize) -> Result<Vec<f64>, String> {
        let bound = |value: &Value| match value {
            Value::String(word) if word == "inf" => Ok(f64::INFINITY),
            Value::String(word) if word == "-inf" => Ok(f64::NEG_INFINITY),
            value => value.as_f64().ok_or_else(|| {
                format!(r#"expected a number, "inf" or "-inf" as a bound, found {value}"#)
            }),
        };
        match self {
            Bounds::One(value) => Ok(vec![bound(value)?; len]),
            Bounds::Each(values) if values.len() == len => values.iter().map(bound).collect(),
            Bounds::Each(values) => {
                Err(format!("expected one bound or {len} of a box, found {}", values.len()))
            }
        }
    }
}

/// An array of a space: one for each part that is not itself made of parts, in the order of Gymnasium's
/// `flatten_space`.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How its numbers travel.
    pub kind: LeafKind,
}

/// What the numbers of a leaf are.
#[derive(Debug, Clone, PartialEq)]
pub enum LeafKind {
    /// Of a box, with its bounds in double precision.
    Box {
        /// Lower bounds.
        low: Vec<f64>,
        /// Upper bounds.
        high: Vec<f64>,
    },
    /// Whole numbers from `start`, each with so many values.
    Whole {
        /// The first one.
        start: i64,
        /// How many values each has.
        nvec: Vec<usize>,
    },
}

impl Leaf {
    /// How many numbers it has.
    #[expect(clippy::len_without_is_empty, reason = "no space is empty")]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The most numbers that an element of a space may have.
const MOST: usize = 1 << 28;

impl WireSpace {
    /// A space of this program, as it is told.
    pub fn of(space: &Space) -> Self {
        match space {
            Space::Discrete { n } => Self::Discrete { n: *n, start: 0 },
            Space::MultiDiscrete { nvec } => Self::MultiDiscrete { nvec: nvec.clone() },
            Space::MultiBinary { n } => Self::MultiBinary { n: *n },
            Space::Tuple { spaces } => {
                Self::Tuple { spaces: spaces.iter().map(Self::of).collect() }
            }
            Space::Dict { spaces } => Self::Dict {
                spaces: spaces
                    .iter()
                    .map(|(name, space)| (name.clone(), Self::of(space)))
                    .collect(),
            },
            Space::Box { dtype, low, high, shape } => Self::Box {
                dtype: match dtype {
                    space::Dtype::Uint8 => Dtype::U8,
                    space::Dtype::Float32 => Dtype::F32,
                },
                shape: shape.clone(),
                low: Bounds::of(low),
                high: Bounds::of(high),
            },
        }
    }

    /// The space as this program knows it. Discrete numbers begin at 0 there, bounds are of single precision.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn to_space(&self) -> Result<Space, String> {
        match self {
            WireSpace::Discrete { n, .. } => {
                count(*n)?;
                Ok(Space::Discrete { n: *n })
            }
            WireSpace::MultiDiscrete { nvec } => {
                parts(nvec.len())?;
                nvec.iter().try_for_each(|&n| count(n))?;
                Ok(Space::MultiDiscrete { nvec: nvec.clone() })
            }
            WireSpace::MultiBinary { n } => {
                count(*n)?;
                Ok(Space::MultiBinary { n: *n })
            }
            WireSpace::Tuple { spaces } => {
                parts(spaces.len())?;
                let spaces = spaces.iter().map(WireSpace::to_space).collect::<Result<_, _>>()?;
                Ok(Space::Tuple { spaces })
            }
            WireSpace::Dict { spaces } => {
                parts(spaces.len())?;
                let sorted = spaces.keys().is_sorted();
                if !sorted {
                    return Err("expected the parts of a dict in the order of their names".into());
                }
                let spaces = spaces
                    .iter()
                    .map(|(name, space)| Ok((name.clone(), space.to_space()?)))
                    .collect::<Result<_, String>>()?;
                Ok(Space::Dict { spaces })
            }
            WireSpace::Box { dtype, shape, low, high } => {
                let len = box_len(shape)?;
                let (low, high) = (low.expand(len)?, high.expand(len)?);
                if let Some((low, high)) = low.iter().zip(&high).find(|(l, h)| l > h) {
                    return Err(format!(
                        "a box's lower bound {low} is above its upper bound {high}"
                    ));
                }
                let single = |bounds: Vec<f64>| bounds.into_iter().map(|b| b as f32).collect();
                let dtype = match dtype {
                    Dtype::U8 => space::Dtype::Uint8,
                    _ => space::Dtype::Float32,
                };
                let (low, high) = (single(low), single(high));
                Ok(Space::Box { dtype, low, high, shape: shape.clone() })
            }
        }
    }

    /// Its arrays, in order.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn leaves(&self) -> Result<Vec<Leaf>, String> {
        let whole = |shape: Vec<usize>, dtype, start, nvec| {
            vec![Leaf { dtype, shape, kind: LeafKind::Whole { start, nvec } }]
        };
        Ok(match self {
            WireSpace::Discrete { n, start } => whole(vec![], Dtype::I64, *start, vec![*n]),
            WireSpace::MultiDiscrete { nvec } => {
                whole(vec![nvec.len()], Dtype::I64, 0, nvec.clone())
            }
            WireSpace::MultiBinary { n } => whole(vec![*n], Dtype::I8, 0, vec![2; *n]),
            WireSpace::Tuple { spaces } => {
                let leaves = spaces.iter().map(WireSpace::leaves).collect::<Result<Vec<_>, _>>()?;
                leaves.concat()
            }
            WireSpace::Dict { spaces } => {
                let leaves =
                    spaces.values().map(WireSpace::leaves).collect::<Result<Vec<_>, _>>()?;
                leaves.concat()
            }
            WireSpace::Box { dtype, shape, low, high } => {
                let len = box_len(shape)?;
                let kind = LeafKind::Box { low: low.expand(len)?, high: high.expand(len)? };
                vec![Leaf { dtype: *dtype, shape: shape.clone(), kind }]
            }
        })
    }
}

fn box_len(shape: &[usize]) -> Result<usize, String> {
    let len = shape.iter().try_fold(1_usize, |len, &side| len.checked_mul(side));
    match len {
        Some(len @ 1..=MOST) => Ok(len),
        _ => Err(format!("expected a box of 1 to {MOST} numbers, found the shape {shape:?}")),
    }
}

fn count(n: usize) -> Result<(), String> {
    // Whole numbers travel in single precision behind the bridge.
    const LARGEST: usize = 1 << 24;
    match n {
        1..=LARGEST => Ok(()),
        _ => Err(format!("expected a discrete space of 1 to {LARGEST} values, found {n}")),
    }
}

fn parts(n: usize) -> Result<(), String> {
    if n > 0 { Ok(()) } else { Err("expected a space with at least one part".into()) }
}

impl Leaf {
    /// Reads one element from its bytes as this program sees it.
    ///
    /// # Errors
    /// Says which whole number lies outside of the space.
    pub fn read(&self, bytes: &[u8], element: &mut [f32]) -> Result<(), String> {
        read_numbers(self.dtype, bytes, element);
        if let LeafKind::Whole { start, nvec } = &self.kind {
            let start = *start as f64;
            for (i, (number, &n)) in element.iter_mut().zip(nvec).enumerate() {
                // Read again in full: a start may be larger than what single precision can tell apart.
                let full = read_number(self.dtype, bytes, i) - start;
                if !(full >= 0.0 && full < n as f64 && full.fract() == 0.0) {
                    return Err(format!(
                        "gave {} where its space has the whole numbers {start} to {}",
                        full + start,
                        start + n as f64 - 1.0
                    ));
                }
                *number = full as f32;
            }
        }
        Ok(())
    }

    /// Writes one element of this program into its bytes, within its bounds.
    pub fn write(&self, element: &[f32], bytes: &mut [u8]) {
        match &self.kind {
            LeafKind::Whole { start, .. } => {
                for (i, &number) in element.iter().enumerate() {
                    write_number(self.dtype, (number as i64 + start) as f64, bytes, i);
                }
            }
            LeafKind::Box { low, high } => {
                let bounds = low.iter().zip(high);
                for (i, (&number, (&low, &high))) in element.iter().zip(bounds).enumerate() {
                    let number = f64::from(number).clamp(low, high);
                    let number = if self.dtype.is_float() { number } else { number.round() };
                    write_number(self.dtype, number, bytes, i);
                }
            }
        }
    }
}

fn read_numbers(dtype: Dtype, bytes: &[u8], element: &mut [f32]) {
    macro_rules! read {
        ($number:ty, $convert:expr) => {{
            let numbers = bytes.chunks_exact(size_of::<$number>());
            for (to, from) in element.iter_mut().zip(numbers) {
                let number = <$number>::from_le_bytes(from.try_into().expect("whole numbers"));
                *to = $convert(number);
            }
        }};
    }
    match dtype {
        Dtype::Bool => read!(u8, |n: u8| f32::from(u8::from(n != 0))),
        Dtype::U8 => read!(u8, f32::from),
        Dtype::I8 => read!(i8, f32::from),
        Dtype::U16 => read!(u16, f32::from),
        Dtype::I16 => read!(i16, f32::from),
        Dtype::U32 => read!(u32, |n| n as f32),
        Dtype::I32 => read!(i32, |n| n as f32),
        Dtype::U64 => read!(u64, |n| n as f32),
        Dtype::I64 => read!(i64, |n| n as f32),
        Dtype::F16 => read!(f16, f16::to_f32),
        Dtype::F32 => read!(f32, |n| n),
        Dtype::F64 => read!(f64, |n| n as f32),
    }
}

/// Element `i` in double precision; whole numbers beyond 2^53 are rounded.
fn read_number(dtype: Dtype, bytes: &[u8], i: usize) -> f64 {
    macro_rules! read {
        ($number:ty) => {{
            let size = size_of::<$number>();
            let from = &bytes[i * size..(i + 1) * size];
            <$number>::from_le_bytes(from.try_into().expect("one number")) as f64
        }};
    }
    match dtype {
        Dtype::I64 => read!(i64),
        Dtype::I8 => read!(i8),
        _ => {
            let mut number = [0.0];
            read_numbers(dtype, &bytes[i * dtype.size()..], &mut number);
            f64::from(number[0])
        }
    }
}

fn write_number(dtype: Dtype, number: f64, bytes: &mut [u8], i: usize) {
    macro_rules! write {
        ($number:expr) => {{
            let number = $number.to_le_bytes();
            bytes[i * number.len()..(i + 1) * number.len()].copy_from_slice(&number);
        }};
    }
    match dtype {
        Dtype::Bool => write!(u8::from(number != 0.0)),
        Dtype::U8 => write!((number as u8)),
        Dtype::I8 => write!((number as i8)),
        Dtype::U16 => write!((number as u16)),
        Dtype::I16 => write!((number as i16)),
        Dtype::U32 => write!((number as u32)),
        Dtype::I32 => write!((number as i32)),
        Dtype::U64 => write!((number as u64)),
        Dtype::I64 => write!((number as i64)),
        Dtype::F16 => write!(f16::from_f64(number)),
        Dtype::F32 => write!((number as f32)),
        Dtype::F64 => write!(number),
    }
}
