//! Files that options name.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// A file that an option names, as an environment read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionFile {
    /// The option's name.
    pub option: String,
    /// Where the file is, from the root.
    pub path: PathBuf,
    /// All that it is, files that it names included: a file of this content stands for it.
    pub content: Vec<u8>,
    /// The extension of a file of this content.
    pub extension: &'static str,
}

impl OptionFile {
    /// Hash of what it is.
    pub fn sha256(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(&self.content))
    }
}
