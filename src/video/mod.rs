//! From states to pixels to MP4 files.

mod canvas;

pub use canvas::{Canvas, Color};
