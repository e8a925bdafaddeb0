//! From what the user named to what is in the files of it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::layout::{Folders, Labels, Layout, Numbered, fitted};
use super::left_out::LeftOut;
use super::sources::{Kind, Wanted};
use super::training::Source;
use crate::env::names;

/// A file of one training, or what it tells of one of several.
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) place: PathPlace,
    pub(super) source: Source,
    /// The folder whose number is the seed, where that was guessed.
    pub(super) numbered: Option<Numbered>,
}

/// A film.
pub(super) struct Film {
    pub(super) path: PathBuf,
    pub(super) place: PathPlace,
}

/// Where a file lies.
#[derive(Clone)]
pub(super) struct PathPlace {
    /// What the user's pattern says of it: that comes before what the file does.
    pub(super) said: Labels,
    /// The folders around it, where there is no pattern: they tell what the file does not.
    pub(super) folders: Option<Folders>,
    /// What an agent is called that nothing names.
    pub(super) root: String,
}

/// The files of several paths.
#[derive(Default)]
pub(super) struct Files {
    pub(super) pieces: Vec<Piece>,
    pub(super) films: Vec<Film>,
    pub(super) left_out: LeftOut,
    /// Those that were met: through links, or by several paths, a file is met again.
    met: HashSet<PathBuf>,
}

impl Files {
    /// Adds the files of `written`, which is a folder, a file or a pattern.
    ///
    /// # Errors
    /// Fails, naming the file, if one is not what its name says, or there is none that fits.
    pub(super) fn look(&mut self, written: &str, wanted: Wanted<'_>) -> anyhow::Result<()> {
        let (root, layout) = Layout::parse(written)?;
        anyhow::ensure!(root.exists(), "{}: there is no such file or folder", root.display());
        let real_root = std::fs::canonicalize(root)?;
        let mut fits = false;
        for entry in WalkDir::new(root).follow_links(true).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => match error.path().filter(|path| path.is_symlink()) {
                    Some(link) => {
                        let why = "they are links around their own folder, or to nothing";
                        self.left_out.add(why, [link.to_owned()]);
                        continue;
                    }
                    None => return Err(error.into()),
                },
            };
            let path = entry.path();
            let Some(kind) = Kind::of(path).filter(|_| path.is_file()) else { continue };
            let below = path.strip_prefix(root).unwrap_or(path);
            let real = std::fs::canonicalize(path)?;
            // What a link shows of the same folder is found there itself.
            let is_shown_again = real.starts_with(&real_root) && real != real_root.join(below);
            if is_shown_again && path != root {
                continue;
            }
            let below = below.to_string_lossy().replace('\\', "/");
            let place = match &layout {
                Layout::Known => PathPlace {
                    said: Labels::default(),
                    folders: Some(Folders::of(root, path, kind.is_users_name(path))),
                    root: name_of(root),
                },
                Layout::Pattern(pattern) => {
                    let Some(said) = fitted(pattern, &below) else {
                        self.left_out.add("they do not fit the pattern", [path.to_owned()]);
                        continue;
                    };
                    fits |= kind != Kind::Film;
                    PathPlace { said, folders: None, root: name_of(root) }
                }
            };
            if self.met.insert(real) {
                self.read(kind, path.to_owned(), place, wanted)?;
            }
        }
        let nothing = matches!(layout, Layout::Pattern(_)) && !fits;
        anyhow::ensure!(!nothing, "no file with returns below {} fits the pattern", root.display());
        Ok(())
    }

    fn read(
        &mut self,
        kind: Kind,
        path: PathBuf,
        place: PathPlace,
        wanted: Wanted<'_>,
    ) -> anyhow::Result<()> {
        if kind == Kind::Film {
            self.films.push(Film { path, place });
            return Ok(());
        }
        if kind.is_replaced(wanted) {
            self.left_out.add("`--scalar` takes the same of other files", [path]);
            return Ok(());
        }
        let content = kind.read(&path, wanted)?;
        if content.sources.is_empty() {
            self.left_out.add(without_returns(&content.names, wanted.scalar), [path]);
            return Ok(());
        }
        for source in content.sources {
            let place = place.clone();
            self.pieces.push(Piece { kind, path: path.clone(), place, source, numbered: None });
        }
        Ok(())
    }
}

/// Why a file with these columns or scalars is left out.
fn without_returns(columns: &[String], scalar: Option<&str>) -> String {
    match (scalar, columns) {
        (_, []) => "they are empty".into(),
        (Some(scalar), columns) => format!(
            "they have no column or scalar `{}`, which `--scalar` names, but {}",
            names::short(scalar),
            names::list(columns)
        ),
        (None, columns) => format!(
            "none of their columns or scalars is called as returns are, `--scalar NAME` names one of {}",
            names::list(columns)
        ),
    }
}

/// The name of a file or folder, `.` included.
pub(super) fn name_of(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    name.map_or_else(|| "imported".to_owned(), |name| name.to_string_lossy().into_owned())
}
