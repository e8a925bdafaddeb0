//! Hard-coded policies of the Box2D environments: Gymnasium's two heuristics, and a rule on leg contacts and
//! knee speeds. The heuristics compute in single precision where NumPy does.

use crate::policy::{Mode, Policy, PolicyError, Situation};
use crate::rng::Rng;

/// Gymnasium's `heuristic` of `lunar_lander.py`: an angle that points at the pad, a height that falls with the
/// distance, and PD control of both. Serves discrete and continuous actions.
pub struct LanderHeuristic;

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
