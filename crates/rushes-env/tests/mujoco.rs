//! The MuJoCo environments against Gymnasium 1.1.1 with MuJoCo 3.17.0: bit for bit, on every thread, without growing.

use std::path::{Path, PathBuf};

use rushes_env::draw::Canvas;
use rushes_env::trace::{Recording, compare};
use rushes_env::{Env, Info, Options, Problem, Space, TimeLimit, find, unknown};
use rushes_rng::NpRandom;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn golden(name: &str) -> PathBuf {
    root().join("tests/goldens/mujoco").join(name)
}

fn options(value: Value) -> Options {
    value.as_object().cloned().expect("an object")
}

fn make(id: &str, value: Value) -> Result<Box<dyn Env>, Problem> {
    (find(id).expect(id).make)(&options(value))
}

/// An environment of its registered length, with uniform actions.
struct Play {
    env: TimeLimit,
    observation: Vec<f32>,
    action: Vec<f32>,
    actions: NpRandom,
}

impl Play {
    fn new(id: &str, options: &Options, seed: u64) -> Self {
        let spec = find(id).expect(id);
        let env = (spec.make)(options).unwrap_or_else(|error| panic!("{id}: {error}"));
        let mut play = Self {
            observation: vec![0.0; env.observation_space().len()],
            action: vec![0.0; env.action_space().len()],
            env: TimeLimit::new(env, spec.max_episode_steps),
            actions: NpRandom::new(seed + 77),
        };
        play.env.reset(Some(seed), &mut play.observation).expect(id);
        play
    }

    fn env(&self) -> &dyn Env {
        self.env.env()
    }

    fn draw_action(&mut self) {
        let Space::Box { low, high, .. } = self.env.env().action_space() else { unreachable!() };
        for (out, (&low, &high)) in self.action.iter_mut().zip(low.iter().zip(high)) {
            *out = self.actions.uniform(low.into(), high.into()) as f32;
        }
    }
}

#[test]
fn trajectories_equal_the_recordings_bit_for_bit() {
    let mut replayed = 0;
    for entry in std::fs::read_dir(golden("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "json") || name == "fingerprints" {
            continue;
        }
        let recording = Recording::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
        let replay = recording.replay(0).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let differences = compare(&recording.trajectories[0], &replay).unwrap();
        // Humanoids have no states of every step, as their observations hold them, and v4's pendulums no `info`.
        for field in ["obs", "reward", "reset_state"] {
            assert!(
                differences.iter().any(|difference| difference.field == field),
                "{name}: {field}"
            );
        }
        for difference in differences {
            assert_eq!(difference.largest, 0.0, "{name}: {difference:?}");
        }
        replayed += 1;
    }
    assert_eq!(replayed, 21);
}

/// One line of `fingerprints.json`; `record.py` beside it tells what is hashed.
#[derive(Debug, Deserialize)]
struct Fingerprint {
    env_id: String,
    options: Options,
    seed: u64,
    hold: usize,
    resets: usize,
    chunks: Vec<String>,
}

const CHUNK: usize = 250;

fn add_info(info: &Info, digest: &mut Sha256) {
    let mut names: Vec<_> = info.keys().collect();
    names.sort_unstable();
    for name in names {
        let numbers = info[name].as_array().cloned().unwrap_or_else(|| vec![info[name].clone()]);
        for number in numbers.iter().filter_map(Value::as_f64) {
            digest.update(number.to_le_bytes());
        }
    }
}

fn check_fingerprint(run: &Fingerprint) {
    let mut options = run.options.clone();
    for (_, value) in options.iter_mut().filter(|(name, _)| *name == "xml_file") {
        if let Some(path) = value.as_str().and_then(|path| path.strip_prefix("./")) {
            *value = json!(root().join(path));
        }
    }
    let mut play = Play::new(&run.env_id, &options, run.seed);
    let see = |play: &Play, digest: &mut Sha256| {
        let numbers = play.env().trace().observation;
        numbers.iter().for_each(|number| digest.update(number.to_le_bytes()));
        add_info(&play.env().info(), digest);
    };
    let mut digest = Sha256::new();
    let mut resets = 0;
    see(&play, &mut digest);
    for k in 0..run.chunks.len() * CHUNK {
        if k % run.hold == 0 {
            play.draw_action();
        }
        let step = play.env.step(&play.action, &mut play.observation).unwrap();
        see(&play, &mut digest);
        digest.update(step.reward.to_le_bytes());
        digest.update([step.terminated.into(), step.truncated.into()]);
        if step.done() {
            play.env.reset(None, &mut play.observation).unwrap();
            see(&play, &mut digest);
            resets += 1;
        }
        if (k + 1) % CHUNK == 0 {
            let bytes = std::mem::take(&mut digest).finalize();
            let hex: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let place = format!("{} {} before step {}", run.env_id, json!(run.options), k + 1);
            assert_eq!(hex, run.chunks[k / CHUNK], "{place}");
        }
    }
    assert_eq!(resets, run.resets);
}

/// Options, other seeds and whole episodes; on two threads, as simulations may not share anything.
#[test]
fn long_runs_with_options_equal_the_reference() {
    let text = std::fs::read_to_string(golden("fingerprints.json")).unwrap();
    let runs: Vec<Fingerprint> = serde_json::from_str(&text).unwrap();
    assert_eq!(runs.len(), 35);
    let (some, others) = runs.split_at(runs.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| some.iter().for_each(check_fingerprint));
        others.iter().for_each(check_fingerprint);
    });
}

/// In the middle of an episode and beyond its end, with contacts and what they start from.
/// MuJoCo begins anew by itself, as it does under Gymnasium: the fingerprint of this model is among those above.
#[test]
fn a_simulation_that_diverges_is_marked_and_goes_on() {
    let model = golden("unstable.xml").display().to_string();
    let mut play = Play::new("HalfCheetah-v5", &options(json!({ "xml_file": model })), 142);
    assert!(!play.env().info().contains_key("mujoco_warnings"));
    let mut warned = false;
    for _ in 0..500 {
        play.draw_action();
        assert!(!play.env.step(&play.action, &mut play.observation).unwrap().terminated);
        warned |= play.env().info().contains_key("mujoco_warnings");
    }
    assert!(warned, "the model does not diverge");
    play.env.reset(None, &mut play.observation).unwrap();
    assert!(!play.env().info().contains_key("mujoco_warnings"), "a reset forgets them");
}

#[test]
fn wrong_options_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let broken = file("broken.xml", "<mujoco><worldbody><geom/></worldbody></mujoco>");
    let empty = file("empty.xml", "");
    let bare = file(
        "bare.xml",
        "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>",
    );
    let idle = file(
        "idle.xml",
        "<mujoco><worldbody><body><joint name='j'/><geom size='1'/></body></worldbody>\
         <actuator><motor joint='j'/></actuator></mujoco>",
    );
    for (id, value, path, part) in [
        ("Hopper-v5", json!({ "frame_skip": 0 }), "frame_skip", "at least 1"),
        ("Hopper-v5", json!({ "reset_noise_scale": -0.1 }), "reset_noise_scale", "at least 0"),
        ("Hopper-v5", json!({ "healthy_z_range": [0.7] }), "healthy_z_range", "length 2"),
        ("Hopper-v5", json!({ "healthy_z_range": [0.7, "lots"] }), "healthy_z_range.1", "inf"),
        ("Hopper-v5", json!({ "width": 0 }), "width", "16 to 4096"),
        ("Hopper-v5", json!({ "camera_name": "front" }), "camera_name", "`front`"),
        ("Hopper-v5", json!({ "camera_id": 1 }), "camera_id", "below 1"),
        ("Hopper-v5", json!({ "camera_id": 0, "camera_name": "track" }), "camera_name", "both"),
        ("Hopper-v5", json!({ "xml_file": "hoper.xml" }), "xml_file", "did you mean `hopper.xml`"),
        ("Hopper-v5", json!({ "xml_file": "/no/such.xml" }), "xml_file", "/no/such.xml"),
        ("Hopper-v5", json!({ "xml_file": broken }), "xml_file", "size 0 must be positive in geom"),
        ("Hopper-v5", json!({ "xml_file": empty }), "xml_file", "empty file"),
        ("Reacher-v5", json!({ "xml_file": bare }), "xml_file", "a body called `fingertip`"),
        ("InvertedDoublePendulum-v5", json!({ "xml_file": bare }), "xml_file", "a site"),
        ("InvertedDoublePendulum-v5", json!({ "xml_file": "pusher_v5.xml" }), "xml_file", "a site"),
        ("Pusher-v5", json!({ "xml_file": bare }), "xml_file", "at least 11 positions"),
        ("HalfCheetah-v5", json!({ "xml_file": bare }), "xml_file", "at least one actuator"),
        ("HalfCheetah-v5", json!({ "xml_file": idle }), "xml_file", "actuator 0 has not"),
        ("Ant-v5", json!({ "main_body": "tail" }), "main_body", "`tail`"),
        ("Ant-v5", json!({ "main_body": 99 }), "main_body", "below 14"),
        ("Ant-v5", json!({ "use_contact_forces": true }), "use_contact_forces", "no such option"),
        ("Ant-v4", json!({ "frame_skip": 5 }), "frame_skip", "Ant-v4 has no such option"),
        ("Hopper-v4", json!({ "xml_file": "hopper.xml" }), "xml_file", "no such option"),
        ("Reacher-v4", json!({ "render_mode": "human" }), "render_mode", "leave it out"),
    ] {
        let error = make(id, value.clone()).err().unwrap_or_else(|| panic!("{id} takes {value}"));
        assert_eq!(error.dotted(), path, "{id} {value}: {error}");
        assert!(error.message.contains(part), "{id} {value}: {error}");
    }
}

#[test]
fn ids_that_nobody_makes_any_more_say_what_to_use() {
    for (id, part) in [
        ("HalfCheetah-v2", "mujoco-py"),
        ("Humanoid-v3", "use its v5"),
        ("Pusher-v4", "use Pusher-v5"),
        ("GymV21Environment-v0", "shimmy"),
    ] {
        assert!(find(id).is_none(), "{id}");
        let message = unknown(id);
        assert!(message.contains(id) && message.contains(part), "{message}");
    }
}

/// The share of a picture's columns from `left` to `right` (shares of its width) that shows the brown robot.
fn robot(env: &dyn Env, left: f32, right: f32) -> f64 {
    let (width, height) = env.frame_size();
    let mut canvas = Canvas::new(width, height);
    env.draw(&mut canvas);
    let columns = (left * width as f32) as usize..(right * width as f32) as usize;
    let rows = canvas.rgba().chunks_exact(4 * width as usize);
    let brown = rows
        .flat_map(|row| row.chunks_exact(4).skip(columns.start).take(columns.len()))
        .filter(|pixel| pixel[0] > pixel[2].saturating_add(20))
        .count();
    brown as f64 / (columns.len() * height as usize) as f64
}

#[test]
fn pictures_show_the_robot_that_the_camera_follows() {
    let small = options(json!({ "width": 320, "height": 160 }));
    let mut play = Play::new("HalfCheetah-v5", &small, 1);
    assert_eq!(play.env().frame_size(), (320, 160));
    let first = robot(play.env(), 0.3, 0.7);
    let start = play.env().trace().state[0];
    for step in 0..200 {
        play.action.fill(if step % 2 == 0 { 1.0 } else { -1.0 });
        play.env.step(&play.action, &mut play.observation).unwrap();
    }
    let moved = (play.env().trace().state[0] - start).abs();
    let then = robot(play.env(), 0.3, 0.7);
    assert!(moved > 1.0, "it moved by {moved} m only");
    assert!(first > 0.01 && then > 0.01, "{first}, then {then} of the middle");
    assert!(robot(play.env(), 0.0, 0.2) < 0.002, "something else is brown");
    // The free camera stays where it was.
    let free = options(json!({ "camera_id": -1, "default_camera_config": { "elevation": -89 } }));
    let play = Play::new("HalfCheetah-v5", &free, 1);
    let seen = robot(play.env(), 0.0, 1.0);
    assert!(seen > 0.001, "{seen} of the picture");
}

/// A tetrahedron as large as half of the picture: a mesh that is written in the model.
#[test]
fn meshes_of_a_users_model_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.xml");
    let xml = r#"<mujoco>
      <asset><mesh name="m" vertex="-1 -1 0  1 -1 0  0 1 0  0 0 1.5"/></asset>
      <worldbody>
        <body pos="0 0 1">
          <freejoint name="free"/><geom type="mesh" mesh="m" rgba="0.8 0.4 0.1 1"/>
        </body>
      </worldbody>
      <actuator><motor joint="free" gear="1 0 0 0 0 0" ctrlrange="-1 1"/></actuator>
    </mujoco>"#;
    std::fs::write(&path, xml).unwrap();
    let camera = json!({ "distance": 4, "lookat": [0, 0, 1.4], "elevation": 0 });
    let options = json!({ "xml_file": path, "default_camera_config": camera });
    let env = make("HalfCheetah-v5", options).unwrap();
    // Its outline, not that of its box, which would fill 0.27.
    let seen = robot(&*env, 0.0, 1.0);
    assert!((0.08..0.22).contains(&seen), "{seen}");
}

/// What a user's model may have beside geoms, each alone in front of the camera, and hidden where MuJoCo hides it.
#[test]
fn sites_tendons_and_height_fields_are_drawn_where_mujoco_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let seen = |name: &str, asset: &str, world: &str, tendon: &str| {
        let path = folder.path().join(format!("{name}.xml"));
        let xml = format!(
            r#"<mujoco>
              <asset>{asset}</asset>
              <worldbody>
                {world}
                <body pos="0 0 -9"><freejoint name="free"/><geom size="0.1"/></body>
              </worldbody>
              <tendon>{tendon}</tendon>
              <actuator><motor joint="free" gear="1 0 0 0 0 0" ctrlrange="-1 1"/></actuator>
            </mujoco>"#
        );
        std::fs::write(&path, xml).unwrap();
        let camera = json!({ "distance": 4, "lookat": [0, 0, 1], "elevation": -20 });
        let options = json!({ "xml_file": path, "default_camera_config": camera });
        robot(&*make("HalfCheetah-v5", options).unwrap(), 0.0, 1.0)
    };
    let brown = r#"rgba="0.8 0.4 0.1 1""#;
    let site = |group: u8| format!(r#"<site pos="0 0 1" size="0.5" group="{group}" {brown}/>"#);
    let shown = seen("site", "", &site(2), "");
    assert!((0.02..0.2).contains(&shown), "{shown}");
    assert_eq!(seen("hidden site", "", &site(3), ""), 0.0);

    let ends = r#"<site name="a" pos="0 -1 1" group="4"/><site name="b" pos="0 1 1" group="4"/>"#;
    let cord = |group: u8| {
        format!(
            r#"<spatial width="0.05" group="{group}" {brown}><site site="a"/><site site="b"/></spatial>"#
        )
    };
    let shown = seen("tendon", "", ends, &cord(0));
    assert!((0.005..0.1).contains(&shown), "{shown}");
    assert_eq!(seen("hidden tendon", "", ends, &cord(5)), 0.0);

    let asset =
        r#"<hfield name="hill" nrow="3" ncol="3" size="1 1 1 0.2" elevation="0 0 0 0 1 0 0 0 0"/>"#;
    let hill = format!(r#"<geom type="hfield" hfield="hill" pos="0 0 0.5" {brown}/>"#);
    let shown = seen("hill", asset, &hill, "");
    assert!((0.05..0.3).contains(&shown), "{shown}");
}

/// The floor's squares have the sizes and colours of the model's texture.
#[test]
fn a_planes_checker_is_drawn_as_its_texture_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |repeat: u32| {
        let path = folder.path().join(format!("floor{repeat}.xml"));
        let xml = format!(
            r#"<mujoco>
              <asset>
                <texture name="t" type="2d" builtin="checker" rgb1="1 0 0" rgb2="0 1 0" width="64" height="64"/>
                <material name="m" texture="t" texrepeat="{repeat} {repeat}"/>
              </asset>
              <worldbody>
                <geom type="plane" size="2 2 1" material="m"/>
                <body pos="0 0 -9"><freejoint name="free"/><geom size="0.1"/></body>
              </worldbody>
              <actuator><motor joint="free" gear="1 0 0 0 0 0" ctrlrange="-1 1"/></actuator>
            </mujoco>"#
        );
        std::fs::write(&path, xml).unwrap();
        let camera = json!({ "distance": 3, "lookat": [0, 0, 0], "elevation": -90, "azimuth": 90 });
        let options = json!({ "xml_file": path, "default_camera_config": camera });
        let env = make("HalfCheetah-v5", options).unwrap();
        let mut canvas = Canvas::new(480, 480);
        env.draw(&mut canvas);
        let row = &canvas.rgba().as_chunks::<4>().0[230 * 480..231 * 480];
        let reds: Vec<bool> = row.iter().map(|[red, green, ..]| red > green).collect();
        assert!(row.iter().all(|[.., blue, _]| *blue < 80), "red and green alone");
        reds.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    // The camera sees 2.5 m of the 4 m: 2.5 of 4 squares, or 5 of 8.
    assert_eq!([picture(2), picture(4)], [3, 5]);
}

#[test]
fn every_number_has_a_name() {
    for spec in rushes_env::all() {
        let env = (spec.make)(&Options::new()).unwrap();
        if spec.family == rushes_env::spec::MUJOCO || spec.family == rushes_env::spec::PHYS2D {
            assert_eq!(
                env.observation_meanings().len(),
                env.observation_space().len(),
                "{}",
                spec.id
            );
        }
    }
    let names = |id: &str, actions: bool| -> Vec<String> {
        let env = make(id, json!({})).unwrap();
        let meanings = if actions { env.action_meanings() } else { env.observation_meanings() };
        meanings.into_iter().map(|m| format!("{} {}", m.name, m.unit).trim_end().into()).collect()
    };
    let cheetah = names("HalfCheetah-v5", false);
    assert_eq!(cheetah[..3], ["rootz m", "rooty rad", "bthigh rad"]);
    assert_eq!(cheetah[8..10], ["rootx velocity m/s", "rootz velocity m/s"]);
    assert_eq!(names("HalfCheetah-v5", true)[..2], ["bthigh", "bshin"]);
    let ant = names("Ant-v5", false);
    assert_eq!(ant[..3], ["root z m", "root quaternion w", "root quaternion x"]);
    assert_eq!(ant[16], "root angular x velocity rad/s");
    assert_eq!(ant[27], "torso cfrc_ext[0]");
    assert_eq!(
        names("Reacher-v5", false)[..3],
        ["cos of joint0", "cos of joint1", "sin of joint0"]
    );
}

#[test]
fn a_models_file_is_known_by_all_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let files = |path: &Path| {
        let options = options(json!({ "xml_file": path }));
        let env = (find("HalfCheetah-v5").unwrap().make)(&options).unwrap();
        env.option_files().unwrap()
    };
    let hash = |name: &str| {
        let path = folder.path().join(name);
        let [file] = &files(&path)[..] else { panic!("one file") };
        assert_eq!((&file.option[..], &file.path), ("xml_file", &path));
        std::fs::write(path.with_extension(file.extension), &file.content).unwrap();
        let [copy] = &files(&path.with_extension(file.extension))[..] else { panic!("one file") };
        assert_eq!(copy.sha256(), file.sha256(), "its content stands for it");
        file.sha256()
    };
    let model = "<mujoco><include file='part.xml'/><actuator><motor joint='x' ctrlrange='-1 1'/></actuator></mujoco>";
    let part = "<mujoco><worldbody><body><joint name='x'/><joint/><geom size='1'/></body></worldbody></mujoco>";
    write("robot.xml", model);
    write("copy.xml", model);
    write("part.xml", part);
    let before = hash("robot.xml");
    assert_eq!(hash("copy.xml"), before, "it holds the same");
    write("part.xml", &part.replace("size='1'", "size='1.01'"));
    assert_ne!(hash("robot.xml"), before, "what it includes has changed");
    assert_eq!(files(Path::new("ant.xml")), [], "it is part of this program");
}

/// Resident memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Runs alone in a process of its own, started by the test below: other tests' memory would count, too.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "started by resets_and_copies_do_not_grow_memory"]
fn ten_thousand_resets() {
    for (id, resets) in [("HalfCheetah-v5", 10_000), ("Reacher-v4", 10_000), ("Ant-v5", 10_000)] {
        let mut play = Play::new(id, &Options::new(), 1);
        let mut repeat = |count: usize| {
            for i in 0..count {
                play.env.reset(None, &mut play.observation).unwrap();
                if i % 10 == 0 {
                    drop(play.env().try_clone());
                    drop(make(id, json!({})).unwrap());
                }
            }
            resident()
        };
        let before = repeat(resets / 10);
        let after = repeat(resets);
        let grown = after.saturating_sub(before);
        println!("{id}: {before} bytes, {grown} more after {resets} resets");
        assert!(grown < 1 << 20, "{id} grew by {grown} bytes in {resets} resets");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn resets_and_copies_do_not_grow_memory() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ten_thousand_resets", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
