//! Which file a request means: one below the output folder, whatever its path says.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file.
    File(PathBuf),
    /// A folder with a page in it, to which a path without its last slash leads.
    Folder,
    /// Nothing, or nothing that is served.
    Nothing,
}

/// Finds what `path`, as it stands in a request, means below `root`, a canonical path. Links are followed as long as
/// they stay below it (`latest` does).
pub(super) fn find(root: &Path, path: &str) -> Found {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return Found::Nothing };
    let mut file = root.to_owned();
    let inside = path.trim_start_matches('/');
    if path.len() - inside.len() > 1 {
        return Found::Nothing;
    }
    for part in inside.split_terminator('/') {
        // Neither the way up nor files that are not whole yet.
        if part.is_empty() || part.starts_with('.') || part.contains(['\\', '\0']) {
            return Found::Nothing;
        }
        file.push(part);
    }
    if path.ends_with('/') {
        file.push("index.html");
    }
    match file.canonicalize() {
        Ok(file) if !file.starts_with(root) => Found::Nothing,
        // Nothing that blocks whoever opens it.
        Ok(file) if file.is_file() => Found::File(file),
        Ok(folder) if folder.join("index.html").is_file() => Found::Folder,
        _ => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let around = tempfile::tempdir().unwrap();
        let around = around.path().canonicalize().unwrap();
        let root = around.join("output");
        std::fs::create_dir_all(root.join("exp/run")).unwrap();
        std::fs::write(root.join("exp/run/index.html"), "page").unwrap();
        std::fs::write(root.join("exp/.tmpfile"), "half").unwrap();
        std::fs::write(around.join("secret"), "secret").unwrap();
        symlink("run", root.join("exp/latest")).unwrap();
        symlink("../../secret", root.join("exp/leak")).unwrap();
        symlink("../..", root.join("exp/up")).unwrap();
        let page = Found::File(root.join("exp/run/index.html"));
        assert_eq!(find(&root, "/exp/run/"), page);
        assert_eq!(find(&root, "/exp/latest/index.html"), page);
        assert_eq!(find(&root, "/exp/%72un/index.html"), page);
        assert_eq!(find(&root, "/exp/run"), Found::Folder);
        for path in [
            "/exp/../../secret",
            "/exp/%2e%2e/%2e%2e/secret",
            "/exp/..%2f..%2fsecret",
            "/exp/%2e%2e%5csecret",
            "/exp/leak",
            "/exp/up/secret",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/exp/.tmpfile",
            "/exp/run/index.html%00",
            "/exp/run/%ff",
            "/exp/none",
        ] {
            assert_eq!(find(&root, path), Found::Nothing, "{path}");
        }
    }
}
