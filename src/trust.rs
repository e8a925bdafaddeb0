//! Which directories may start programs.
//!
//! An experiment may name commands, and a run directory holds the experiment. A run that was started here carries a
//! signature of its commands (HMAC-SHA256), whose key is a file of the user's own. A directory that came from elsewhere,
//! or whose commands were changed since, has no valid one, and starts nothing unless its reader says so.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use fs_err as fs;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The signature of commands, as hexadecimal digits.
///
/// # Errors
/// Fails if the user's key can be neither read nor made.
pub fn sign(commands: &[String]) -> anyhow::Result<String> {
    Ok(HEXLOWER.encode(&mac(&key()?, commands).finalize().into_bytes()))
}

/// Checks that what `place` would start was signed by this user, or that the reader trusts it (`--trust`).
///
/// # Errors
/// Fails if neither holds; the message lists the commands.
pub fn ensure(
    place: &Path,
    commands: &[String],
    signature: Option<&str>,
    trusted: bool,
) -> anyhow::Result<()> {
    let signed = || {
        let signature = HEXLOWER.decode(signature?.as_bytes()).ok()?;
        mac(&key().ok()?, commands).verify_slice(&signature).ok()
    };
    if trusted || commands.is_empty() || signed().is_some() {
        return Ok(());
    }
    anyhow::bail!(
        "{} has no signature of yours (made elsewhere, changed since, or outside of its run) and would start:\n  {}\nif you trust it, \
         give --trust as well",
        place.display(),
        commands.join("\n  ")
    )
}

fn mac(key: &[u8], commands: &[String]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("keys of every length are taken");
    for command in commands {
        mac.update(&(command.len() as u64).to_le_bytes());
        mac.update(command.as_bytes());
    }
    mac
}

/// The user's key, made on first use.
fn key() -> anyhow::Result<Vec<u8>> {
    const LENGTH: usize = 32;
    let folder = state_folder()?;
    let path = folder.join("key");
    if !path.exists() {
        fs::create_dir_all(&folder)?;
        // Private to its owner, and complete before it has its name.
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&rand::random::<[u8; LENGTH]>())?;
        match file.persist_noclobber(&path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error.error).context(path.display().to_string());
            }
            _ => {}
        }
    }
    let key = fs::read(&path)?;
    anyhow::ensure!(
        key.len() == LENGTH,
        "{} is damaged: expected {LENGTH} bytes; remove it",
        path.display()
    );
    Ok(key)
}

/// Where this program keeps what lasts: `$XDG_STATE_HOME/rushes`, else `~/.local/state/rushes`.
fn state_folder() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Ok(state.context("neither XDG_STATE_HOME nor HOME is an absolute path")?.join("rushes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_these_commands_and_this_key() {
        let tag = |key: u8, commands: &[&str]| {
            let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
            mac(&[key; 32], &commands).finalize().into_bytes().to_vec()
        };
        assert_eq!(tag(1, &["ab", "c"]), tag(1, &["ab", "c"]));
        assert_ne!(tag(1, &["ab", "c"]), tag(2, &["ab", "c"]));
        assert_ne!(tag(1, &["ab", "c"]), tag(1, &["a", "bc"]));
    }

    #[test]
    fn what_is_not_signed_is_shown_and_refused() {
        let commands = ["python train.py".to_owned()];
        let refused = |signature, trusted| {
            ensure(Path::new("run"), &commands, signature, trusted).map_err(|e| e.to_string())
        };
        for signature in [None, Some(""), Some("no digits"), Some("00")] {
            let message = refused(signature, false).unwrap_err();
            assert!(message.contains("\n  python train.py\n"), "{message}");
            assert!(message.contains("--trust"), "{message}");
        }
        assert_eq!(refused(None, true), Ok(()));
        assert!(ensure(Path::new("run"), &[], None, false).is_ok());
    }
}
