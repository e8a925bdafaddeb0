//! Compiles the bridge to MuJoCo against the layout of its structures; nothing is linked or downloaded.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/bridge.c");
    println!("cargo:rerun-if-changed=include");
    cc::Build::new().std("gnu11").include("include").file("src/bridge.c").compile("rushes_mujoco");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // Part of the C library since glibc 2.34.
        println!("cargo:rustc-link-lib=dl");
    }
}
