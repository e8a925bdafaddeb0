//! Where MuJoCo's library is, and opening it.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The version that the bridge is compiled for. Later ones simulate contacts otherwise.
pub const VERSION: &str = "3.17.0";

/// Names the library's file, or the folder that holds it; wins over what `./bootstrap --mujoco` unpacked.
pub const VARIABLE: &str = "RUSHES_MUJOCO";

/// Where `./bootstrap --mujoco` unpacks the library, in the checkout.
const UNPACKED: &str = ".deps/mujoco-3.17.0";

const FILE: &str =
    if cfg!(target_os = "macos") { "libmujoco.3.17.0.dylib" } else { "libmujoco.so.3.17.0" };

/// Why MuJoCo's library cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// It is nowhere.
    #[error(
        "MuJoCo {VERSION} is not installed: run `./bootstrap --mujoco` in a checkout, `pip install mujoco=={VERSION}` in \
         the virtual environment that this program is in, or set {VARIABLE} to the folder of {FILE}"
    )]
    Missing,
    /// The variable names something else.
    #[error("{VARIABLE} is {0}, and there is no {FILE}: expected that file or its folder")]
    NotThere(PathBuf),
    /// It cannot be opened, or is another version.
    #[error("failed to open MuJoCo {VERSION} from {path}: {reason}")]
    Broken {
        /// The library's file.
        path: PathBuf,
        /// What the system's loader says of it.
        reason: String,
    },
}

unsafe extern "C" {
    fn mjb_open(path: *const c_char) -> *const c_char;
}

/// Opens the library, once a process, and tells its file. Every model does it by itself.
///
/// # Errors
/// Fails if the library is missing or another version; says how to get it.
pub fn open() -> Result<PathBuf, LibraryError> {
    static OPENED: OnceLock<Result<PathBuf, LibraryError>> = OnceLock::new();
    OPENED
        .get_or_init(|| {
            let path = find(std::env::var_os(VARIABLE).as_deref(), places())?;
            let broken = |reason: String| LibraryError::Broken { path: path.clone(), reason };
            let text = CString::new(path.as_os_str().as_encoded_bytes())
                .map_err(|_| broken("its path holds a zero byte".into()))?;
            // Sound: the text ends with a zero byte.
            let error = unsafe { mjb_open(text.as_ptr()) };
            if error.is_null() {
                return Ok(path);
            }
            // Sound: a message of the bridge lives until this thread's next call.
            let reason = unsafe { CStr::from_ptr(error) };
            Err(broken(reason.to_string_lossy().into_owned()))
        })
        .clone()
}

/// Where the library may be, for a program that was built in a checkout, or that lies in the `bin` of a virtual
/// environment with Python's package `mujoco`.
fn places() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let folders = || program.ancestors().skip(1);
    let unpacked = folders().map(|folder| folder.join(UNPACKED));
    let pythons = folders().nth(1).and_then(|folder| std::fs::read_dir(folder.join("lib")).ok());
    let packages = (pythons.into_iter().flatten().flatten())
        .map(|python| python.path().join("site-packages/mujoco"));
    unpacked.chain(packages).collect()
}

/// The library's file: what the variable names, or the first of the `places`.
fn find(
    variable: Option<&OsStr>,
    places: impl IntoIterator<Item = PathBuf>,
) -> Result<PathBuf, LibraryError> {
    let Some(named) = variable.filter(|named| !named.is_empty()).map(Path::new) else {
        let mut files = places.into_iter().map(|place| place.join(FILE));
        return files.find(|file| file.is_file()).ok_or(LibraryError::Missing);
    };
    let inside = named.join(FILE);
    [named, &inside]
        .into_iter()
        .find(|file| file.is_file())
        .map(Path::to_owned)
        .ok_or_else(|| LibraryError::NotThere(named.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_command_and_a_wrong_variable_itself() {
        let nowhere = || [PathBuf::from("/nowhere")];
        let missing = find(None, nowhere()).unwrap_err();
        assert_eq!(find(Some(OsStr::new("")), nowhere()), Err(missing.clone()));
        assert!(missing.to_string().contains("./bootstrap --mujoco"), "{missing}");
        let wrong = find(Some(OsStr::new("/tmp")), nowhere()).unwrap_err().to_string();
        assert!(wrong.contains("RUSHES_MUJOCO is /tmp"), "{wrong}");
        let file = std::env::current_exe().expect("this program");
        assert_eq!(find(Some(file.as_os_str()), nowhere()), Ok(file));
    }
}
