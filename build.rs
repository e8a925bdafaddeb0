//! Tells the program which compiler it was built with, for the versions that a run writes down, and lets the
//! unit tests, which compare gradients with libtorch's, find it.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=RUSHES_RUSTC_VERSION={}", rustc_version());
    // Cargo knows no argument for the unit tests of a library alone. Nothing else links libtorch, and without
    // it nothing is added.
    let libraries = Path::new(&env::var("LIBTORCH").unwrap_or_default()).join("lib");
    if let Ok(libraries) = fs::canonicalize(libraries) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    }
}

fn rustc_version() -> String {
    let output =
        Command::new(env::var("RUSTC").unwrap_or_else(|_| "rustc".into())).arg("-V").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok().and_then(|text| text.split(' ').nth(1).map(str::to_owned)).unwrap_or("unknown".into())
}
