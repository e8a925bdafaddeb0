//! Lets the unit tests, which compare with libtorch, find it; nothing else here links it.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let libraries = Path::new(&env::var("LIBTORCH").unwrap_or_default()).join("lib");
    if let Ok(libraries) = fs::canonicalize(libraries) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    }
}
