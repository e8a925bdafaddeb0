//! Our Python files, where a program of the user's can import them.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::process::Failure;

/// The files by their names.
const FILES: &[(&str, &str)] = &[("rushes_policy.py", include_str!("../python/rushes_policy.py"))];

/// What to add to the environment variables of a policy's program: `PYTHONPATH`, so that Python finds our files, and
/// `RUSHES_POLICY`, by which `rushes_policy` knows that its standard input and output are the protocol's.
///
/// # Errors
/// Fails if they cannot be written.
pub fn variables() -> Result<Vec<(OsString, OsString)>, Failure> {
    let folder = folder();
    write(&folder).map_err(|error| {
        Failure::new(format!(
            "the Python files could not be written to {}: {error}",
            folder.display()
        ))
    })?;
    let known = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let known = std::env::split_paths(&known).filter(|path| !path.as_os_str().is_empty());
    let path = std::env::join_paths(std::iter::once(folder).chain(known))
        .map_err(|error| Failure::new(format!("PYTHONPATH cannot be extended: {error}")))?;
    Ok(vec![("PYTHONPATH".into(), path), ("RUSHES_POLICY".into(), "1".into())])
}

/// `$XDG_CACHE_HOME/rushes/python-VERSION`, else below `~/.cache`, else below the folder of temporary files.
fn folder() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let version = concat!("python-", env!("CARGO_PKG_VERSION"));
    cache.unwrap_or_else(std::env::temp_dir).join("rushes").join(version)
}

/// Writes the files that are not there as they should be; each appears whole.
fn write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in FILES {
        let path = folder.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|known| known == *text) {
            continue;
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(&path)?;
    }
    Ok(())
}
