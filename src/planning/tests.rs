use super::*;
use crate::env::{Env, find};
use crate::rng::{Purpose, stream};

fn rng(index: u64) -> Rng {
    stream(1, Purpose::Planning, index)
}

/// A known model: the state is a number that the action is added to, and the reward is minus its distance from
/// `goal`, so that the best first action goes there at once.
struct Line {
    start: f32,
    goal: f32,
    discrete: bool,
    states: Vec<f32>,
    returns: Returns,
}

impl Line {
    fn new(start: f32, goal: f32, discrete: bool) -> Self {
        Self { start, goal, discrete, states: Vec::new(), returns: Returns::default() }
    }

    fn space(&self) -> Space {
        if self.discrete { Space::Discrete { n: 3 } } else { Space::uniform_box(-1.0, 2.0, 1) }
    }
}

impl Model for Line {
    fn begin(&mut self, episodes: usize, discount: f64) -> Result<(), ModelError> {
        self.states = vec![self.start; episodes];
        self.returns.begin(episodes, discount);
        Ok(())
    }

    fn branch(&mut self, copies: usize) -> Result<(), ModelError> {
        repeat_rows(&mut self.states, 1, copies);
        self.returns.branch(copies);
        Ok(())
    }

    fn step(&mut self, actions: &[f32]) -> Result<(), ModelError> {
        assert_eq!(actions.len(), self.states.len());
        for (i, (state, action)) in self.states.iter_mut().zip(actions).enumerate() {
            *state += if self.discrete { action - 1.0 } else { *action };
            self.returns.earn(i, -f64::from((*state - self.goal).abs()), 0.0);
        }
        Ok(())
    }

    fn returns(&self, returns: &mut Vec<f64>) {
        returns.clear();
        returns.extend_from_slice(self.returns.sums());
    }
}

fn exhaustive(candidates: usize, depth: usize) -> PlannerSpec {
    PlannerSpec::Exhaustive(ExhaustiveSpec { candidates, depth })
}

fn shooting(candidates: usize, depth: usize) -> PlannerSpec {
    PlannerSpec::RandomShooting(RandomShootingSpec { candidates, depth })
}

fn cem(candidates: usize, depth: usize) -> PlannerSpec {
    PlannerSpec::Cem(CemPlannerSpec { candidates, depth, ..CemPlannerSpec::default() })
}

fn first_action(spec: &PlannerSpec, model: &mut dyn Model, space: &Space, discount: f64) -> f32 {
    let mut action = vec![f32::NAN; space.len()];
    Planner::new(spec, discount, space)
        .plan(model, &mut PlannerMemory::default(), &mut rng(0), &mut action)
        .expect("a finite model");
    action[0]
}

#[test]
fn every_planner_finds_the_best_action_of_a_known_model() {
    for (start, goal) in [(0.0, 1.5), (2.0, 1.3), (0.5, 0.5)] {
        let mut line = Line::new(start, goal, false);
        let space = line.space();
        for (spec, tolerance) in
            [(exhaustive(60, 2), 0.1), (shooting(5_000, 2), 0.15), (cem(200, 4), 0.05)]
        {
            let action = first_action(&spec, &mut line, &space, 0.9);
            let error = (action - (goal - start)).abs();
            assert!(error < tolerance, "{spec:?} from {start} to {goal}: {action}");
        }
    }
    for (start, goal, best) in [(0.0, 3.0, 2.0), (3.0, 0.0, 0.0), (1.0, 1.0, 1.0)] {
        let mut line = Line::new(start, goal, true);
        let space = line.space();
        for spec in [exhaustive(3, 3), shooting(500, 3), cem(100, 3)] {
            assert_eq!(first_action(&spec, &mut line, &space, 0.9), best, "{spec:?}");
        }
    }
}

#[test]
fn a_plan_is_as_good_as_every_sequence_counted_out() {
    // With three actions and three steps the tree is small enough to write down.
    let (start, goal, discount) = (0.3_f32, 1.1_f32, 0.5);
    let worth = |actions: [f32; 3]| {
        let (mut state, mut weight, mut sum) = (start, 1.0, 0.0);
        for action in actions {
            state += action - 1.0;
            sum -= weight * f64::from((state - goal).abs());
            weight *= discount;
        }
        sum
    };
    let all = (0..27).map(|i| [i / 9, i / 3 % 3, i % 3].map(|action| action as f32));
    let best = all.max_by(|a, b| worth(*a).total_cmp(&worth(*b))).expect("27 of them");
    let mut line = Line::new(start, goal, true);
    let space = line.space();
    assert_eq!(first_action(&exhaustive(3, 3), &mut line, &space, discount), best[0]);
    assert!(line.returns.sums().iter().any(|sum| (sum - worth(best)).abs() < 1e-6));
    assert_eq!(line.returns.sums().len(), 27);
}

#[test]
fn returns_branch_with_their_episodes_and_stop_at_the_end() {
    let mut returns = Returns::default();
    returns.begin(2, 0.5);
    returns.earn(0, 1.0, 0.0);
    returns.earn(1, 0.0, 0.0);
    returns.branch(2);
    for (episode, reward) in [0.0, 2.0, 0.0, 4.0].into_iter().enumerate() {
        returns.earn(episode, reward, 1.0);
    }
    assert_eq!(returns.sums(), [1.0, 2.0, 0.0, 2.0]);
    assert!((0..4).all(|episode| returns.is_over(episode)));
    returns.earn(0, 100.0, 0.0);
    assert_eq!(returns.sums()[0], 1.0, "nothing counts after the end");
}

#[test]
fn the_end_of_an_episode_weighs_what_comes_after_by_its_probability() {
    let mut returns = Returns::default();
    returns.begin(1, 0.5);
    for _ in 0..3 {
        returns.earn(0, 1.0, 0.2);
    }
    assert!((returns.sums()[0] - (1.0 + 0.4 + 0.16)).abs() < 1e-12);
}

#[test]
fn candidates_of_a_small_discrete_space_are_all_of_it_in_random_order() {
    let space = Space::Discrete { n: 4 };
    let draw = |most: usize, index: u64| {
        let mut actions = Vec::new();
        candidates(&space, most, &mut rng(index), &mut actions);
        actions
    };
    for most in [4, 9] {
        let mut all = draw(most, 0);
        all.sort_by(f32::total_cmp);
        assert_eq!(all, [0.0, 1.0, 2.0, 3.0]);
    }
    let firsts: std::collections::BTreeSet<_> = (0..40).map(|i| draw(2, i)[0] as usize).collect();
    assert_eq!(firsts.len(), 4);
    assert_eq!(draw(2, 0).len(), 2);
}

#[test]
fn a_plan_that_is_no_number_is_refused() {
    let mut line = Line::new(f32::NAN, 0.0, false);
    let space = line.space();
    for spec in [exhaustive(3, 2), shooting(5, 2), cem(5, 2)] {
        let mut action = [0.0];
        let result = Planner::new(&spec, 0.9, &space).plan(
            &mut line,
            &mut PlannerMemory::default(),
            &mut rng(0),
            &mut action,
        );
        assert_eq!(result, Err(ModelError::NotFinite), "{spec:?}");
    }
}

#[test]
fn cem_goes_on_from_its_last_plan() {
    let mut line = Line::new(0.0, 1.0, false);
    let space = line.space();
    let mut planner = Planner::new(&cem(50, 3), 0.9, &space);
    let mut memory = PlannerMemory::default();
    let mut action = [0.0];
    planner.plan(&mut line, &mut memory, &mut rng(0), &mut action).expect("a finite model");
    let Some(Distribution::Normal { means: last, .. }) = memory.distribution.clone() else {
        panic!("a box has means");
    };
    let Distribution::Normal { means, deviations, .. } =
        memory.distribution.clone().expect("a plan").advanced(&space)
    else {
        panic!("a box has means");
    };
    assert_eq!(means, [last[1], last[2], 0.5], "one step on, then the middle of the space");
    assert_eq!(deviations, [0.75; 3]);
}

#[test]
fn too_large_searches_are_refused() {
    assert!(exhaustive(4, 3).problem().is_none());
    assert!(exhaustive(100_000, 1_000).problem().is_some());
    assert!(shooting(100_000, 1_000).problem().is_some());
    assert!(cem(500, 30).problem().is_none());
}

fn environment(id: &str) -> Box<dyn Env> {
    (find(id).expect("in the table").make)(&Default::default()).expect("no options")
}

#[test]
fn planning_on_the_simulator_leaves_it_alone_and_balances_a_pole() {
    let mut env = environment("CartPole-v1");
    env.reset(Some(0)).expect("a start");
    let space = env.action_space().clone();
    let mut planner = Planner::new(&shooting(60, 25), 0.99, &space);
    let mut draws = rng(2);
    for step in 0..200 {
        let before = env.trace();
        let mut action = [0.0];
        let mut model = Simulator::new(&*env);
        planner
            .plan(&mut model, &mut PlannerMemory::default(), &mut draws, &mut action)
            .expect("a copy");
        assert_eq!(env.trace(), before);
        let checked = space.action(&action).expect("a planned action");
        assert!(!env.step(checked).expect("a step").terminated, "step {step}");
    }
}
