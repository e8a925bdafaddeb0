//! Copies of environments, on which planners play: each goes on exactly as its original does.

use rushes_env::{Env, Options, Space, Step, Trace, all};
use rushes_rng::{Purpose, Rng, stream};

const STEPS: usize = 240;
const BETWEEN_COPIES: usize = 40;

/// One step with an action drawn from the space, and a new episode where one ended.
fn advance(env: &mut dyn Env, space: &Space, draws: &mut Rng) -> (Step, Trace, Vec<f32>) {
    let mut action = vec![0.0; space.len()];
    space.sample(draws, &mut action);
    let step = env.step(space.action(&action).expect("drawn from it")).expect("a step");
    // Pictures take long to draw, and show nothing that the trace does not tell.
    let small = env.observation_space().len() < 1000;
    let mut observation = vec![0.0; if small { env.observation_space().len() } else { 0 }];
    if small {
        env.observe(&mut observation).expect("a look");
    }
    let trace = env.trace();
    if step.terminated {
        env.reset(None).expect("a new episode");
    }
    (step, trace, observation)
}

#[test]
fn every_environment_can_be_copied_and_its_copies_go_on_like_it() {
    for spec in all() {
        let mut env = (spec.make)(&Options::new()).unwrap_or_else(|error| panic!("{error}"));
        env.reset(Some(3)).expect("a start");
        let space = env.action_space().clone();
        let mut draws = stream(0, Purpose::Exploration, 1);
        let mut copies = Vec::new();
        let mut seen = Vec::new();
        for step in 0..STEPS {
            if step % BETWEEN_COPIES == 0 {
                let copy = env.try_clone().unwrap_or_else(|| panic!("{} has no copy", spec.id));
                copies.push((step, copy, draws.clone()));
            }
            seen.push(advance(&mut *env, &space, &mut draws));
        }
        drop(env);
        for (start, mut copy, mut draws) in copies {
            for (step, expected) in seen.iter().enumerate().skip(start) {
                let now = advance(&mut *copy, &space, &mut draws);
                assert!(
                    now == *expected,
                    "{}, copied before step {start}, differs at {step}",
                    spec.id
                );
            }
        }
    }
}
