//! Hard-coded policies of the Box2D environments: Gymnasium's two heuristics, and a rule on leg contacts and
//! knee speeds. The heuristics compute in single precision where NumPy does.

use crate::policy::{Mode, Policy, PolicyError, Situation};
use rushes_rng::Rng;

/// Gymnasium's `heuristic` of `lunar_lander.py`: an angle that points at the pad, a height that falls with the
/// distance, and PD control of both. Serves discrete and continuous actions.
pub(super) struct LanderHeuristic;

impl LanderHeuristic {
    /// How much to turn, and how much to rise.
    fn todo(s: &[f32]) -> (f32, f32) {
        if s[6] != 0.0 || s[7] != 0.0 {
            // With a leg on the ground, only the fall needs slowing.
            return (0.0, -s[3] * 0.5);
        }
        let angle_target = (s[0] * 0.5 + s[2] * 1.0).clamp(-0.4, 0.4);
        let hover_target = 0.55 * s[0].abs();
        let angle = (angle_target - s[4]) * 0.5 - s[5] * 1.0;
        let hover = (hover_target - s[1]) * 0.5 - s[3] * 0.5;
        (angle, hover)
    }
}

impl Policy for LanderHeuristic {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _mode: Mode,
        _rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let (angle, hover) = Self::todo(situation.observation);
        match action {
            [main, side] => {
                *main = (hover * 20.0 - 1.0).clamp(-1.0, 1.0);
                *side = (-angle * 20.0).clamp(-1.0, 1.0);
            }
            _ => {
                action[0] = if hover > angle.abs() && hover > 0.05 {
                    2.0
                } else if angle < -0.05 {
                    3.0
                } else if angle > 0.05 {
                    1.0
                } else {
                    0.0
                };
            }
        }
        Ok(())
    }
}

/// Gymnasium's `BipedalWalkerHeuristics`: a state machine in which one leg swings forward, is put down, and
/// the other pushes off. It keeps the hull upright by PD control and knows no balance.
pub(super) struct WalkerHeuristic {
    phase: Phase,
    moving: usize,
    supporting_knee_angle: f32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    StayOnOneLeg,
    PutOtherDown,
    PushOff,
}

/// Observation index of each leg's first number.
const LEG: [usize; 2] = [4, 9];
/// Forward speed above which the walker falls over.
const SPEED: f32 = 0.29;
const SUPPORT_KNEE_ANGLE: f32 = 0.1;

impl Default for WalkerHeuristic {
    fn default() -> Self {
        Self { phase: Phase::StayOnOneLeg, moving: 0, supporting_knee_angle: SUPPORT_KNEE_ANGLE }
    }
}

impl WalkerHeuristic {
    /// The targets of the hips and knees, where a joint has one.
    fn targets(&mut self, s: &[f32]) -> ([Option<f32>; 2], [Option<f32>; 2]) {
        let (mut hips, mut knees) = ([None; 2], [None; 2]);
        let (moving, supporting) = (self.moving, 1 - self.moving);
        if self.phase == Phase::StayOnOneLeg {
            hips[moving] = Some(1.1);
            knees[moving] = Some(-0.6);
            self.supporting_knee_angle += 0.03;
            if s[2] > SPEED {
                self.supporting_knee_angle += 0.03;
            }
            self.supporting_knee_angle = self.supporting_knee_angle.min(SUPPORT_KNEE_ANGLE);
            knees[supporting] = Some(self.supporting_knee_angle);
            if s[LEG[supporting]] < 0.10 {
                self.phase = Phase::PutOtherDown;
            }
        }
        if self.phase == Phase::PutOtherDown {
            hips[moving] = Some(0.1);
            knees[moving] = Some(SUPPORT_KNEE_ANGLE);
            knees[supporting] = Some(self.supporting_knee_angle);
            if s[LEG[moving] + 4] != 0.0 {
                self.phase = Phase::PushOff;
                self.supporting_knee_angle = s[LEG[moving] + 2].min(SUPPORT_KNEE_ANGLE);
            }
        }
        if self.phase == Phase::PushOff {
            knees[moving] = Some(self.supporting_knee_angle);
            knees[supporting] = Some(1.0);
            // The reference computes this product in double precision before it compares.
            if s[LEG[supporting] + 2] > 0.88 || s[2] > (1.2 * 0.29_f64) as f32 {
                self.phase = Phase::StayOnOneLeg;
                self.moving = supporting;
            }
        }
        // An angle of exactly zero counts as no target there.
        let some = |target: Option<f32>| target.filter(|&angle| angle != 0.0);
        (hips.map(some), knees.map(some))
    }
}

impl Policy for WalkerHeuristic {
    fn begin_episode(&mut self) {
        *self = Self::default();
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        _mode: Mode,
        _rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let s = situation.observation;
        let (hips, knees) = self.targets(s);
        for leg in 0..2 {
            let at = LEG[leg];
            let mut hip = hips[leg].map_or(0.0, |to| 0.9 * (to - s[at]) - 0.25 * s[at + 1]);
            let mut knee = knees[leg].map_or(0.0, |to| 4.0 * (to - s[at + 2]) - 0.25 * s[at + 3]);
            hip -= 0.9 * (0.0 - s[0]) - 1.5 * s[1];
            knee -= 15.0 * s[3];
            action[2 * leg] = (0.5 * hip).clamp(-1.0, 1.0);
            action[2 * leg + 1] = (0.5 * knee).clamp(-1.0, 1.0);
        }
        Ok(())
    }
}

/// A rule on contact flags and knee speeds, as beginners' tutorials write one for BipedalWalker: a leg on the
/// ground drives its hip back and straightens its knee, a leg in the air swings forward with a bent knee, and
/// a knee that already moves that way is given half the torque. It is an example of a rule, and falls soon.
pub(super) struct ContactFlags;

impl Policy for ContactFlags {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _mode: Mode,
        _rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let s = situation.observation;
        for leg in 0..2 {
            let (knee_speed, on_ground) = (s[LEG[leg] + 3], s[LEG[leg] + 4] > 0.0);
            let (hip, knee) = if on_ground { (-0.5, 1.0) } else { (0.5, -1.0) };
            action[2 * leg] = hip;
            action[2 * leg + 1] = if knee_speed * knee > 0.0 { 0.5 * knee } else { knee };
        }
        Ok(())
    }
}

/// Follows the road of CarRacing by its pixels: finds the grey ones in a few rows ahead of the car, steers at
/// their middle, and slows down for turns. Knows the ordinary colours only.
pub(super) struct RoadFollower;

/// Side of the picture, and the column that the car is in.
const PICTURE: usize = 96;
const CENTER: f32 = 48.0;
/// Rows ahead of the car, which is in row 72.
const AHEAD: std::ops::Range<usize> = 50..62;
/// Column and rows of the speed's bar.
const SPEED_BAR: (usize, std::ops::Range<usize>) = (13, 84..94);
/// Rows of the bar for each metre a second.
const SPEED_ROWS: f32 = 0.048;

impl RoadFollower {
    /// How far the road's middle is to the right, -1 to 1; straight on where there is no road.
    fn offset(pixels: &[f32]) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0);
        for row in AHEAD {
            for column in 0..PICTURE {
                let at = 3 * (row * PICTURE + column);
                let [red, green, blue] = [pixels[at], pixels[at + 1], pixels[at + 2]];
                if red > 60.0 && (red - green).abs() < 12.0 && (green - blue).abs() < 12.0 {
                    sum += column as f32 + 0.5 - CENTER;
                    count += 1.0;
                }
            }
        }
        if count > 0.0 { sum / count / CENTER } else { 0.0 }
    }

    /// Speed in metres a second, by the height of its bar.
    fn speed(pixels: &[f32]) -> f32 {
        let (column, rows) = SPEED_BAR;
        rows.map(|row| pixels[3 * (row * PICTURE + column)]).sum::<f32>() / 253.0 / SPEED_ROWS
    }
}

impl Policy for RoadFollower {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _mode: Mode,
        _rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let offset = Self::offset(situation.observation);
        let speed = Self::speed(situation.observation);
        let target = 50.0 - 25.0 * (4.0 * offset.abs()).min(1.0);
        let steer = (2.5 * offset).clamp(-1.0, 1.0);
        let (gas, brake) = match speed - target {
            over if over > 8.0 => (0.0, 0.3),
            over if over > 0.0 => (0.0, 0.0),
            _ => (0.3, 0.0),
        };
        match action {
            [a, b, c] => (*a, *b, *c) = (steer, gas, brake),
            // Of five discrete actions, the one that matters most.
            _ => {
                action[0] = match () {
                    () if brake > 0.0 => 4.0,
                    // The reference's left and right are swapped here; see `car_racing`.
                    () if steer < -0.2 => 2.0,
                    () if steer > 0.2 => 1.0,
                    () if gas > 0.0 => 3.0,
                    () => 0.0,
                }
            }
        }
        Ok(())
    }
}
