//! Trajectories of the real Gymnasium 1.1.1, replayed.

use std::path::Path;

use rushes::env::trace::{Recording, compare};

/// How far a family's numbers may be off: nothing at all for tables, the rounding of sines elsewhere.
fn tolerance(env_id: &str) -> f64 {
    match env_id {
        id if id.starts_with("Acrobot") => 1e-9,
        id if id.starts_with("CartPole") || id.starts_with("MountainCar") => 1e-12,
        id if id.starts_with("Pendulum") => 1e-9,
        _ => 0.0,
    }
}

/// Every golden file but those of NumPy's streams and of pictures.
#[test]
fn replays_equal_the_recordings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("the goldens") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name == "rng.json" || path.is_dir() {
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
                let off = difference.field != "state" && difference.field != "reward";
                let off =
                    if off { difference.largest > 0.0 } else { difference.exceeds(tolerance) };
                assert!(!off, "{name}, trajectory {index}: {difference:?}");
            }
        }
        replayed += 1;
    }
    assert!(replayed >= 20, "only {replayed} goldens were replayed");
}
