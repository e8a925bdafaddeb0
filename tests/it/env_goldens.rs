//! Trajectories of the real Gymnasium 1.1.1, replayed.

use std::path::Path;

use rushes::env;
use rushes::env::trace::{Recording, compare};

/// How far numbers may be off. Where the C library is the recording machine's, nothing at all; elsewhere its
/// sines and powers may round differently, which Acrobot amplifies.
fn tolerance(env_id: &str) -> f64 {
    if same_c_library() || !has_sines(env_id) {
        0.0
    } else if env_id.starts_with("Acrobot") {
        1e-4
    } else {
        1e-6
    }
}

fn has_sines(env_id: &str) -> bool {
    ["CartPole", "MountainCar", "Pendulum", "Acrobot"].iter().any(|name| env_id.starts_with(name))
}

/// glibc on x86-64, with the variants of its functions that use fused multiply-add.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn same_c_library() -> bool {
    std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")))]
fn same_c_library() -> bool {
    false
}

/// Every golden file but those of NumPy's streams and of pictures.
#[test]
fn replays_equal_the_recordings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("the goldens") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let of_an_env = env::all().iter().any(|spec| name.starts_with(&spec.id));
        if !of_an_env || path.is_dir() {
            continue;
        }
        let recording = Recording::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
        let tolerance = tolerance(&recording.env_id);
        for (index, recorded) in recording.trajectories.iter().enumerate() {
            let replay =
                recording.replay(index).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let differences =
                compare(recorded, &replay).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            for difference in differences {
                let place = format!("{name}, trajectory {index}: {difference:?}");
                assert!(!difference.exceeds(tolerance), "{place}");
            }
        }
        replayed += 1;
    }
    assert!(replayed >= 34, "only {replayed} goldens were replayed");
}
