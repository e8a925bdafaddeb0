//! What the numbers of a model are, by the names of its joints, bodies and actuators.

use rushes_mujoco::{Joint, JointKind, Kind, Model};

use crate::meaning::Meaning;

/// The names of a model.
pub(super) struct Names {
    /// What each number of the positions is.
    positions: Vec<Meaning>,
    /// What moves at each number of the velocities, with the unit of its position.
    velocities: Vec<Meaning>,
    /// The actuators.
    controls: Vec<Meaning>,
    /// The bodies.
    bodies: Vec<String>,
}

impl Names {
    pub(super) fn of(model: &Model) -> Self {
        let joints = model.joints();
        let named = |(i, joint): (usize, &Joint)| match &joint.name[..] {
            "" => format!("joint {i}"),
            name => name.to_owned(),
        };
        let names: Vec<String> = joints.iter().enumerate().map(named).collect();
        let numbers = |free: &'static [Part]| {
            let of_joint = |(joint, name): (&Joint, &String)| {
                let meaning = |&(part, unit): &Part| Meaning {
                    name: if part.is_empty() { name.clone() } else { format!("{name} {part}") },
                    unit: unit.into(),
                };
                parts(joint.kind, free).iter().map(meaning).collect::<Vec<_>>()
            };
            joints.iter().zip(&names).flat_map(of_joint).collect()
        };
        let control = |(i, (name, joint)): (usize, (String, Option<usize>))| {
            let moved = joint.map(|joint| names[joint].clone());
            let name = Some(name).filter(|name| !name.is_empty()).or(moved);
            Meaning { name: name.unwrap_or_else(|| format!("ctrl[{i}]")), unit: String::new() }
        };
        Self {
            positions: numbers(POSITION),
            velocities: numbers(VELOCITY),
            controls: model.actuators().into_iter().enumerate().map(control).collect(),
            bodies: (0..model.bodies()).map(|i| model.name(Kind::Body, i)).collect(),
        }
    }

    /// What number `i` of `part`, an array of MuJoCo's by its name, is.
    pub(super) fn meaning(&self, part: &str, i: usize) -> Meaning {
        let of = |what: &Meaning, name: String, unit: &str| Meaning {
            name,
            unit: if unit.is_empty() { String::new() } else { format!("{}{unit}", what.unit) },
        };
        match part {
            "qpos" => self.positions[i].clone(),
            "cos qpos" | "sin qpos" => {
                let position = &self.positions[i];
                of(position, format!("{} of {}", &part[..3], position.name), "")
            }
            "qvel" => {
                let moved = &self.velocities[i];
                of(moved, format!("{} velocity", moved.name), "/s")
            }
            "ctrl" => self.controls[i].clone(),
            "qfrc_actuator" | "qfrc_constraint" => {
                let moved = &self.velocities[i];
                of(moved, format!("{} {part}", moved.name), "")
            }
            "cinert" | "cvel" | "cfrc_ext" => {
                let row = if part == "cinert" { 10 } else { 6 };
                let name = format!("{} {part}[{}]", self.bodies[i / row], i % row);
                Meaning { name, unit: String::new() }
            }
            _ => Meaning { name: format!("{part}[{i}]"), unit: String::new() },
        }
    }
}

/// A number of a joint: what of it, nothing where it is the only one, and its unit.
type Part = (&'static str, &'static str);

/// The position of a free joint.
const POSITION: &[Part] = &[
    ("x", "m"),
    ("y", "m"),
    ("z", "m"),
    ("quaternion w", ""),
    ("quaternion x", ""),
    ("quaternion y", ""),
    ("quaternion z", ""),
];

/// What of a free joint moves, at each number of its velocity.
const VELOCITY: &[Part] = &[
    ("x", "m"),
    ("y", "m"),
    ("z", "m"),
    ("angular x", "rad"),
    ("angular y", "rad"),
    ("angular z", "rad"),
];

/// The numbers of a joint, given those of a free one: a place, then a direction, which alone is a ball joint's.
fn parts(kind: JointKind, free: &'static [Part]) -> &'static [Part] {
    match kind {
        JointKind::Free => free,
        JointKind::Ball => &free[3..],
        JointKind::Slide => &[("", "m")],
        JointKind::Hinge => &[("", "rad")],
    }
}
