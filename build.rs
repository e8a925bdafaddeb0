//! Build script: lets the binary find libtorch at run time without `LD_LIBRARY_PATH`, tells it which versions
//! it was built with, and compiles the physics solver.

use std::path::Path;
use std::process::Command;
use std::{env, fs, process};

#[path = "build/box2d.rs"]
mod box2d;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    let libtorch = env::var("LIBTORCH").unwrap_or_default();
    if !libtorch.is_empty() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    println!("cargo:rustc-env=RUSHES_LIBTORCH_VERSION={}", libtorch_version(&libtorch));
    println!("cargo:rustc-env=RUSHES_RUSTC_VERSION={}", rustc_version());
    if let Err(message) = box2d::compile() {
        println!("cargo::error={message}");
        process::exit(1);
    }
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

fn rustc_version() -> String {
    let output =
        Command::new(env::var("RUSTC").unwrap_or_else(|_| "rustc".into())).arg("-V").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok().and_then(|text| text.split(' ').nth(1).map(str::to_owned)).unwrap_or("unknown".into())
}
