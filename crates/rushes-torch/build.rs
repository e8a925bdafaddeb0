//! Lets the program find libtorch at run time without `LD_LIBRARY_PATH`, and tells it which one it was built
//! with.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let libtorch = env::var("LIBTORCH").unwrap_or_default();
    if !libtorch.is_empty() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    println!("cargo:rustc-env=RUSHES_LIBTORCH_VERSION={}", libtorch_version(&libtorch));
}

/// The version that libtorch's headers state.
fn libtorch_version(libtorch: &str) -> String {
    let header = Path::new(libtorch).join("include/torch/headeronly/version.h");
    let text = fs::read_to_string(header).unwrap_or_default();
    let part = |name: &str| {
        let prefix = format!("#define TORCH_VERSION_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::trim)
    };
    match (part("MAJOR"), part("MINOR"), part("PATCH")) {
        (Some(major), Some(minor), Some(patch)) => format!("{major}.{minor}.{patch}"),
        _ => "unknown".into(),
    }
}
