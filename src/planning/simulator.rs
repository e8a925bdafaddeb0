//! The environment itself as a model: an upper bound for planning with a learned one.

use super::{Model, ModelError, Returns};
use crate::env::{Env, Step};

/// Imagined episodes in copies of an environment. A copy's random stream goes on as the environment's own will,
/// so a planner foresees chance, too.
pub struct Simulator<'a> {
    present: &'a dyn Env,
    copies: Vec<Box<dyn Env>>,
    returns: Returns,
}

impl<'a> Simulator<'a> {
    /// A model whose present state is `env`'s.
    pub fn new(env: &'a dyn Env) -> Self {
        Self { present: env, copies: Vec::new(), returns: Returns::default() }
    }
}

fn copy(env: &dyn Env) -> Result<Box<dyn Env>, ModelError> {
    env.try_clone().ok_or(ModelError::NoCopy)
}

impl Model for Simulator<'_> {
    fn begin(&mut self, episodes: usize, discount: f64) -> Result<(), ModelError> {
        self.copies.clear();
        for _ in 0..episodes {
            self.copies.push(copy(self.present)?);
        }
        self.returns.begin(episodes, discount);
        Ok(())
    }

    fn branch(&mut self, copies: usize) -> Result<(), ModelError> {
        let mut branched = Vec::with_capacity(self.copies.len() * copies);
        for env in &self.copies {
            for _ in 0..copies {
                branched.push(copy(&**env)?);
            }
        }
        self.copies = branched;
        self.returns.branch(copies);
        Ok(())
    }

    fn step(&mut self, actions: &[f32]) -> Result<(), ModelError> {
        let space = self.present.action_space();
        let rows = self.copies.iter_mut().zip(actions.chunks_exact(space.len()));
        for (episode, (env, action)) in rows.enumerate() {
            if self.returns.is_over(episode) {
                continue;
            }
            let action = space.action(action).expect("planners draw from the action space");
            let Step { reward, terminated, .. } = env.step(action)?;
            self.returns.earn(episode, reward, f64::from(u8::from(terminated)));
        }
        Ok(())
    }

    fn returns(&self, returns: &mut Vec<f64>) {
        returns.clear();
        returns.extend_from_slice(self.returns.sums());
    }
}
