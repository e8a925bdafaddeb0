//! Compiles the Box2D solver that Gymnasium uses, slightly changed, with our bridge to it; see
//! `docs/physics.md`.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Where `./bootstrap` unpacks the source distribution of `box2d-py`.
const BOX2D_SOURCE: &str = "../../.deps/box2d-py-2.3.5/Box2D";
/// Our own code, compiled after the solver's in this order.
const OWN: [&str; 2] = ["src/copy.cpp", "src/bridge.cpp"];

/// What is changed in the copy of the solver that gets compiled. None of it touches arithmetic.
#[rustfmt::skip]
const PATCHES: &[Patch] = &[
    // A failed assertion raises a C++ exception that the bridge turns into an error. The original raises
    // a Python exception.
    Patch("Common/b2Settings.h", "#define USE_EXCEPTIONS", ""),
    Patch("Common/b2Settings.h", "#define b2Assert(A) assert(A)",
        "void b2AssertFailed(const char* condition, const char* file, int line);\n\
         #define b2Assert(A) do { if (!(A)) b2AssertFailed(#A, __FILE__, __LINE__); } while (0)"),
    // While such an exception unwinds, buffers are given back in an order that the allocator does not
    // expect: it gives back its own newest one, and has nothing to assert at its end.
    Patch("Common/b2StackAllocator.cpp", "b2Free(p);", "b2Free(entry->data);"),
    Patch("Common/b2StackAllocator.cpp", "\tb2Assert(m_index == 0);\n\tb2Assert(m_entryCount == 0);",
        "\twhile (m_entryCount > 0)\n\t{\n\t\tb2StackEntry* entry = m_entries + --m_entryCount;\n\
         \t\tif (entry->usedMalloc) b2Free(entry->data);\n\t}"),
    // The hull of points that are not finite would run past its buffer.
    Patch("Collision/Shapes/b2PolygonShape.cpp", "hull[m] = ih;",
        "b2Assert(m < b2_maxPolygonVertices);\n\t\thull[m] = ih;"),
    // Counters that nobody reads, and for which threads would race.
    Patch("Collision/b2Distance.cpp", "int32 b2_gjkCalls, b2_gjkIters, b2_gjkMaxIters;", ""),
    Patch("Collision/b2Distance.cpp", "++b2_gjkCalls;", ""),
    Patch("Collision/b2Distance.cpp", "++b2_gjkIters;", ""),
    Patch("Collision/b2Distance.cpp", "b2_gjkMaxIters = b2Max(b2_gjkMaxIters, iter);", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "float32 b2_toiTime, b2_toiMaxTime;", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "int32 b2_toiCalls, b2_toiIters, b2_toiMaxIters;", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "int32 b2_toiRootIters, b2_toiMaxRootIters;", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "++b2_toiCalls;", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "++b2_toiRootIters;", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "b2_toiMaxRootIters = b2Max(b2_toiMaxRootIters, rootIterCount);", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "++b2_toiIters;", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "b2_toiMaxIters = b2Max(b2_toiMaxIters, iter);", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "b2_toiMaxTime = b2Max(b2_toiMaxTime, time);", ""),
    Patch("Collision/b2TimeOfImpact.cpp", "b2_toiTime += time;", ""),
];

/// File below the source's `Box2D/`, text that occurs in it exactly once, and what replaces it.
struct Patch(&'static str, &'static str, &'static str);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={BOX2D_SOURCE}");
    println!("cargo::rustc-check-cfg=cfg(box2d)");
    // A program can be built without anything that has to be fetched first; what it lacks is said now and when it is
    // asked for one of these environments.
    if !Path::new(BOX2D_SOURCE).join("Box2D.h").is_file() {
        println!(
            "cargo::warning=without LunarLander, BipedalWalker and CarRacing: the source of Box2D is not there, run \
             ./bootstrap, which fetches it, and build again"
        );
        return;
    }
    match compile() {
        Ok(()) => {
            println!("cargo::rustc-cfg=box2d");
            println!("cargo::metadata=COMPILED=true");
        }
        Err(message) => {
            println!("cargo::error={message}");
            process::exit(1);
        }
    }
}

/// Compiles the solver and the bridge to it as one unit, so that the compiler sees all of it at once. Fails with
/// one line on what is broken, and what to do.
fn compile() -> Result<(), String> {
    for file in OWN {
        println!("cargo::rerun-if-changed={file}");
    }
    let root =
        PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("box2d");
    let source = root.join(BOX2D_SOURCE);

    let mut units = Vec::new();
    copy(&source, Path::new(""), &out.join("Box2D"), &mut units)
        .map_err(|error| format!("failed to copy {BOX2D_SOURCE}: {error}"))?;
    units.sort();
    let mut unit: String =
        units.iter().map(|file| format!("#include \"Box2D/{}\"\n", file.display())).collect();
    for file in OWN {
        unit += &format!("#include \"{}\"\n", root.join(file).display());
    }
    let main = out.join("solver.cpp");
    fs::write(&main, unit)
        .map_err(|error| format!("failed to write {}: {error}", main.display()))?;

    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .include(&out)
        .file(&main)
        // The reference's wheels are built without fused multiply-add, which rounds differently.
        .flag_if_supported("-ffp-contract=off")
        // No square root reports its errors through `errno`, which nobody reads and every root would be looked at for.
        .flag_if_supported("-fno-math-errno")
        // Clang would gather the two or three numbers of a vector to compute them at once, which takes longer than one
        // after the other. GCC gains from doing so; its option has another name, and it is not given this one.
        .flag_if_supported("-fno-slp-vectorize")
        // A copy of a world has what the solver keeps to itself too.
        .flag("-fno-access-control")
        // Failed assertions name their file: no folder of this machine in them.
        .flag_if_supported(format!("-ffile-prefix-map={}/=", out.display()))
        .warnings(false)
        .try_compile("rushes_box2d")
        .map_err(|error| format!("failed to compile the physics solver: {error}"))
}

/// Copies the C++ files below `from/relative`, patched, and lists the ones to compile in `units`.
fn copy(from: &Path, relative: &Path, to: &Path, units: &mut Vec<PathBuf>) -> Result<(), String> {
    let folder = from.join(relative);
    fs::create_dir_all(to.join(relative)).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = relative.join(entry.file_name());
        if entry.path().is_dir() {
            copy(from, &path, to, units)?;
            continue;
        }
        let extension = path.extension().unwrap_or_default();
        // The bridge has its own b2Timer: nobody reads the profile that the original keeps.
        if (extension != "cpp" && extension != "h") || path.ends_with("b2Timer.cpp") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        fs::write(to.join(&path), patched(&path, text.replace("\r\n", "\n"))?)
            .map_err(|error| error.to_string())?;
        if extension == "cpp" {
            units.push(path);
        }
    }
    Ok(())
}

fn patched(path: &Path, mut text: String) -> Result<String, String> {
    for Patch(_, old, new) in PATCHES.iter().filter(|Patch(file, ..)| path == Path::new(file)) {
        if text.matches(old).count() != 1 {
            return Err(format!(
                "{} does not hold {old:?} exactly once: it is not box2d-py 2.3.5, run ./bootstrap",
                path.display()
            ));
        }
        text = text.replace(old, new);
    }
    Ok(text)
}
