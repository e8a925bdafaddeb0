//! Leaves the Box2D environments out where the solver's source was not there; `rushes-box2d` says what to do then.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(box2d)");
    if std::env::var_os("DEP_RUSHES_BOX2D_COMPILED").is_some() {
        println!("cargo::rustc-cfg=box2d");
    }
}
