//! The plan of the house: rooms only look down, and no files go round in a circle (`docs/architecture.md`).
//!
//! Reads the sources as text: what stands behind a `use` or a path, tests left out. Re-exports of a `mod.rs` are
//! followed to the file that has the name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rooms of `src/`, from the ground up: each may name those before it.
const ROOMS: &[&str] = &[
    "console",
    "event_file",
    "exit",
    "format",
    "guard",
    "lease",
    "stats",
    "trust",
    "record",
    "planning",
    "policy",
    "experiment",
    "store",
    "dataset",
    "archive",
    "provenance",
    "training",
    "algorithm",
    "trial",
    "runner",
    "search",
    "validation",
    "results",
    "diagnosis",
    "regression",
    "history",
    "export",
    "report",
    "serve",
    "run",
    "import",
    "registry",
    "cli",
];

/// The packages that stand for rooms of their own in `src/lib.rs`.
const PACKAGES: &[&str] = &["env", "external", "nn", "rng", "video"];

/// A package's source files by their module paths (`report::sections::takes`), without what only tests need.
fn sources(package: &str) -> BTreeMap<Vec<String>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(package).join("src");
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !name.ends_with(".rs") || name == "tests.rs" || name.ends_with("_tests.rs") {
                continue;
            }
            let inside = path.strip_prefix(&root).expect("below the root").with_extension("");
            let mut module: Vec<String> =
                inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            if module == ["main"] {
                continue;
            }
            if module == ["lib"] {
                module.clear();
            }
            let text = std::fs::read_to_string(&path).expect("a readable source");
            let code: String = text
                .split("#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default()
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
                .collect();
            sources.insert(module, code);
        }
    }
    sources
}

/// Paths below the package that `code` of the file `module` names; `is_file` tells modules that are files with
/// children from plain ones.
fn names(module: &[String], is_parent: bool, code: &str) -> BTreeSet<Vec<String>> {
    let mut names = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::").into_iter().chain(rest.find("super::")).min() {
        let before = rest[..at].chars().next_back();
        let own = rest[at..].starts_with("crate::");
        let re_export = rest[..at].rsplit(['\n', ';', '}']).next().unwrap_or_default().trim_start();
        rest = &rest[at..];
        let end = rest.find([';', ')', '>', '<', ' ', '=', '?', ',', '\n', '&', '|', '!']);
        let mut path = &rest[..end.unwrap_or(rest.len())];
        let mut base: Vec<String> = module.to_vec();
        if own {
            base.clear();
            path = &path["crate::".len()..];
        } else {
            if !is_parent {
                base.pop();
            }
            let mut ups = 0;
            while let Some(up) = path.strip_prefix("super::") {
                path = up;
                ups += 1;
            }
            for _ in usize::from(!is_parent)..ups {
                base.pop();
            }
        }
        let group = path.find('{').map(|open| {
            let text = &rest[rest.find('{').expect("found above")..];
            let close = text.find("};").map_or(text.len(), |close| close);
            (open, text[1..close].to_owned())
        });
        let plain = !re_export.starts_with("pub");
        if plain && before != Some('$') {
            match group {
                Some((open, group)) => {
                    let stem: Vec<String> = path[..open]
                        .split("::")
                        .filter(|part| !part.is_empty())
                        .map(str::to_owned)
                        .collect();
                    for item in flat(&group) {
                        names.insert([base.clone(), stem.clone(), item].concat());
                    }
                }
                None => {
                    let parts = path
                        .split("::")
                        .map(|part| part.trim_matches(|c: char| !c.is_alphanumeric() && c != '_'));
                    names.insert([base, parts.map(str::to_owned).collect()].concat());
                }
            }
        }
        rest = &rest["crate::".len()..];
    }
    names
}

/// The items of a `{…}` of imports, nested ones with their paths.
fn flat(group: &str) -> Vec<Vec<String>> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = group[start..at].trim();
                start = at + 1;
                let split = |path: &str| -> Vec<String> {
                    path.split("::")
                        .filter(|p| !p.is_empty() && *p != "self")
                        .map(str::to_owned)
                        .collect()
                };
                match item.split_once('{') {
                    Some((stem, inner)) => {
                        let inner = inner.trim_end_matches('}');
                        items.extend(
                            flat(inner).into_iter().map(|rest| [split(stem), rest].concat()),
                        );
                    }
                    None if item.is_empty() => {}
                    None => items.push(split(item.split(" as ").next().unwrap_or(item))),
                }
            }
            _ => {}
        }
    }
    items
}

/// Which file names which, in a package.
fn imports(package: &str) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let sources = sources(package);
    let is_parent = |module: &[String]| {
        sources.keys().any(|other| other.len() > module.len() && other.starts_with(module))
    };
    // What a parent re-exports is its child's.
    let mut re_exports: BTreeMap<(Vec<String>, String), Vec<String>> = BTreeMap::new();
    for (module, code) in &sources {
        for line in code.split(';') {
            let Some((_, path)) = line.split_once("pub use ") else { continue };
            let (stem, items) = match path.split_once('{') {
                Some((stem, items)) => (stem.trim_end_matches("::"), items.trim_end_matches('}')),
                None => path.rsplit_once("::").unwrap_or((path, "")),
            };
            let child = [module.clone(), stem.split("::").map(str::to_owned).collect()].concat();
            if sources.contains_key(&child) {
                for item in items.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                    re_exports.insert((module.clone(), item.to_owned()), child.clone());
                }
            }
        }
    }
    let file_of = |path: &[String]| -> Option<Vec<String>> {
        (1..=path.len()).rev().find_map(|len| {
            let module = path[..len].to_vec();
            sources.contains_key(&module).then_some(())?;
            let next =
                path.get(len).and_then(|name| re_exports.get(&(module.clone(), name.clone())));
            Some(next.cloned().unwrap_or(module))
        })
    };
    let mut imports = BTreeMap::new();
    for (module, code) in &sources {
        let found = names(module, is_parent(module) || module.is_empty(), code);
        let files = found.iter().filter_map(|path| file_of(path)).filter(|file| file != module);
        imports.insert(module.clone(), files.collect());
    }
    imports
}

/// Files that can be reached from themselves.
fn circles(imports: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Vec<String> {
    let mut found = Vec::new();
    for start in imports.keys() {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(file) = open.pop() {
            for next in imports.get(file).into_iter().flatten() {
                if next == start {
                    found.push(format!("{} (through {})", start.join("::"), file.join("::")));
                    open.clear();
                    break;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
    }
    found
}

#[test]
fn every_room_has_its_place() {
    let rooms: BTreeSet<String> =
        sources(".").into_keys().filter_map(|m| m.first().cloned()).collect();
    let known: BTreeSet<String> = ROOMS.iter().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, known, "add a new room to ROOMS, above everything that it names");
}

#[test]
fn rooms_only_look_down() {
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut upward = Vec::new();
    for (module, names) in imports(".") {
        let Some(own) = module.first().and_then(|room| place(room)) else { continue };
        for name in names {
            if name.first().and_then(|room| place(room)).is_some_and(|other| other > own) {
                upward.push(format!("{} names {}", module.join("::"), name.join("::")));
            }
        }
    }
    assert!(upward.is_empty(), "imports that look up:\n{}", upward.join("\n"));
}

#[test]
fn no_files_go_round_in_a_circle() {
    let packages = ["rng", "box2d", "env", "external", "nn", "video", "torch"];
    let packages = packages.map(|name| format!("crates/rushes-{name}"));
    for package in packages.iter().map(String::as_str).chain(["."]) {
        let circles = circles(&imports(package));
        assert!(circles.is_empty(), "{package} has circles of files:\n{}", circles.join("\n"));
    }
}

/// The reader of sources reads what it is for: known imports are found, through re-exports and groups.
#[test]
fn the_reader_of_sources_finds_known_imports() {
    let imports = imports(".");
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    for (file, named) in [
        ("cli::run", "validation"),
        ("cli::run", "runner::display"),
        ("algorithm::ppo", "algorithm::interface"),
        ("report::sections::curves", "results::aggregate"),
        ("trial::learner", "training::world"),
    ] {
        assert!(
            imports[&module(file)].contains(&module(named)),
            "{file} names {named}: {:?}",
            imports[&module(file)]
        );
    }
    for package in PACKAGES {
        assert!(!ROOMS.contains(package));
    }
}
