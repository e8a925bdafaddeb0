//! Directories as zip archives: what travels to machines that share no directory with this one, and back.

use std::io::{Read as _, Seek, Write};
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::store;

/// Files that say that a directory is whole, and are written after all others.
const LAST: [&str; 2] = ["result.json", "attempt.json"];

/// Writes all files below a directory, sorted by their paths, with their modes.
///
/// # Errors
/// Fails if a file cannot be read or written, or has a name that is no text.
pub fn pack<W: Write + Seek>(directory: &Path, into: W) -> anyhow::Result<W> {
    let mut zip = ZipWriter::new(into);
    add(&mut zip, directory, "")?;
    Ok(zip.finish()?)
}

fn add<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    directory: &Path,
    prefix: &str,
) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_str().with_context(|| format!("{name:?} is no text"))?;
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            add(zip, &entry.path(), &format!("{name}/"))?;
            continue;
        }
        let mut file = fs::File::open(entry.path())?;
        let metadata = file.metadata()?;
        // Policies and films do not get smaller, and compressing them takes longer than sending them.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(metadata.len() > u32::MAX.into())
            .unix_permissions(metadata.permissions().mode());
        zip.start_file(name, options)?;
        std::io::copy(&mut file, zip)?;
    }
    Ok(())
}

/// Writes the files of an archive below a directory, each in one step; those that say that it is whole come last.
///
/// # Errors
/// Fails if it is no archive, a file would lie outside of the directory, or one cannot be written.
pub fn unpack(archive: &[u8], directory: &Path) -> anyhow::Result<()> {
    let mut zip = ZipArchive::new(std::io::Cursor::new(archive))?;
    let names = zip.file_names().map(|name| Ok(name?.into_owned()));
    let mut names = names.collect::<anyhow::Result<Vec<String>>>()?;
    names.sort_by_key(|name| LAST.iter().position(|last| last == name));
    for name in names {
        let mut file = zip.by_name(&name)?;
        let inside = file.enclosed_name().with_context(|| format!("unsafe file name {name:?}"))?;
        let path = directory.join(inside);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        store::replace(&path, &content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_back_as_it_was_and_what_says_that_it_is_whole_comes_last() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("checkpoint")).unwrap();
        for file in ["result.json", "z.mp4", "checkpoint/1", "attempt.json"] {
            fs::write(from.join(file), file).unwrap();
        }
        let archive = pack(&from, std::io::Cursor::new(Vec::new())).unwrap().into_inner();
        unpack(&archive, &to).unwrap();
        for file in ["result.json", "z.mp4", "checkpoint/1", "attempt.json"] {
            assert_eq!(fs::read_to_string(to.join(file)).unwrap(), file);
        }
        // A file where a folder is to be: the result is not there yet.
        let other = directory.path().join("other");
        fs::create_dir_all(other.join("z.mp4")).unwrap();
        assert!(unpack(&archive, &other).is_err());
        assert!(!other.join("result.json").exists());
    }

    #[test]
    fn no_file_leaves_the_directory() {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("../outside", SimpleFileOptions::default()).unwrap();
        let archive = zip.finish().unwrap().into_inner();
        let directory = tempfile::tempdir().unwrap();
        let error = unpack(&archive, &directory.path().join("inside")).unwrap_err();
        assert!(error.to_string().contains("unsafe file name"), "{error}");
    }
}
