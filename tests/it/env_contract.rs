//! What every environment of the table keeps to.

use proptest::prelude::*;
use rushes::env::draw::Canvas;
use rushes::env::{self, EnvError, EnvSpec, Options, Space, TimeLimit, VectorEnv};
use rushes::rng::NpRandom;

fn build(spec: &EnvSpec) -> TimeLimit {
    let env = (spec.make)(&Options::new()).unwrap_or_else(|error| panic!("{}: {error}", spec.id));
    TimeLimit::new(env, spec.max_episode_steps)
}

/// An environment played with random actions of its space.
struct Play {
    env: TimeLimit,
    observation: Vec<f32>,
    actions: NpRandom,
}

impl Play {
    fn new(spec: &EnvSpec) -> Self {
        let env = build(spec);
        let observation = vec![f32::NAN; env.env().observation_space().len()];
        Self { env, observation, actions: NpRandom::new(1) }
    }

    fn reset(&mut self, seed: Option<u64>) -> Vec<f32> {
        self.env.reset(seed, &mut self.observation).expect("a reset");
        self.observation.clone()
    }

    fn action(&mut self) -> Vec<f32> {
        sample(self.env.env().action_space(), &mut self.actions)
    }

    /// `steps` steps with resets where episodes end: everything observed.
    fn run(&mut self, steps: usize) -> Vec<(Vec<f32>, f64, bool, bool)> {
        let mut seen = Vec::new();
        for _ in 0..steps {
            let action = self.action();
            let t = self.env.step(&action, &mut self.observation).expect("a step");
            seen.push((self.observation.clone(), t.reward, t.terminated, t.truncated));
            if t.done() {
                let first = self.reset(None);
                seen.push((first, 0.0, false, false));
            }
        }
        seen
    }
}

pub(crate) fn sample(space: &Space, rng: &mut NpRandom) -> Vec<f32> {
    match space {
        Space::Discrete { n } => vec![rng.choice(*n) as f32],
        Space::Box { low, high, .. } => low
            .iter()
            .zip(high)
            .map(|(&l, &h)| (rng.uniform(l.into(), h.into()) as f32).clamp(l, h))
            .collect(),
        // No shipped environment acts in another space.
        _ => unreachable!("{space}"),
    }
}

/// Few enough steps for the slow ones, enough for several episodes of most.
const STEPS: usize = 300;

#[test]
fn ids_are_unique_and_found() {
    for spec in &env::all() {
        assert!(std::sync::Arc::ptr_eq(&env::find(&spec.id).expect("found"), spec), "{}", spec.id);
    }
    assert!(env::find("CartPole").is_none());
    assert!(env::unknown("cartpole-v1").contains("did you mean `CartPole-v1`"));
    assert!(!env::unknown("???").contains("did you mean"));
}

#[test]
fn observations_and_actions_respect_their_spaces() {
    for spec in &env::all() {
        let mut play = Play::new(spec);
        let space = play.env.env().observation_space().clone();
        let first = play.reset(Some(3));
        assert!(space.contains(&first), "{}: {first:?} is not in {space}", spec.id);
        for (observation, reward, ..) in play.run(STEPS) {
            assert!(space.contains(&observation), "{}: {observation:?} in {space}", spec.id);
            assert!(reward.is_finite(), "{}: reward {reward}", spec.id);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_episodes_and_another_others() {
    for spec in &env::all() {
        let (mut a, mut b) = (Play::new(spec), Play::new(spec));
        // What happened before a reseeding reset must not matter.
        b.reset(Some(99));
        b.run(20);
        b.actions = NpRandom::new(1);
        assert_eq!(a.reset(Some(7)), b.reset(Some(7)), "{}", spec.id);
        assert_eq!(a.run(STEPS), b.run(STEPS), "{}", spec.id);

        let firsts: Vec<_> = (0..20).map(|seed| a.reset(Some(seed))).collect();
        let fixed_start = spec.id.contains("FrozenLake") || spec.id.contains("CliffWalking");
        let varied = firsts.iter().any(|first| *first != firsts[0]);
        assert_eq!(varied, !fixed_start, "{}", spec.id);
    }
}

#[test]
fn a_reset_without_a_seed_continues_the_stream() {
    for spec in &env::all() {
        let (mut a, mut b) = (Play::new(spec), Play::new(spec));
        a.reset(Some(5));
        b.reset(Some(5));
        let continued: Vec<_> = (0..10).map(|_| a.reset(None)).collect();
        let again: Vec<_> = (0..10).map(|_| b.reset(None)).collect();
        assert_eq!(continued, again, "{}", spec.id);
        if a.reset(Some(1)) != a.reset(Some(2)) {
            assert!(continued.iter().any(|first| *first != continued[0]), "{}", spec.id);
        }
    }
}

#[test]
fn the_time_limit_is_outside_the_dynamics() {
    for spec in &env::all() {
        let mut limited = Play::new(spec);
        limited.env = TimeLimit::new((spec.make)(&Options::new()).unwrap(), Some(5));
        let mut free = Play::new(spec);
        free.env = TimeLimit::new((spec.make)(&Options::new()).unwrap(), None);
        assert_eq!(limited.reset(Some(4)), free.reset(Some(4)), "{}", spec.id);
        for step in 1..=5 {
            let action = limited.action();
            let a = limited.env.step(&action, &mut limited.observation).unwrap();
            let b = free.env.step(&action, &mut free.observation).unwrap();
            assert_eq!((a.reward, a.terminated), (b.reward, b.terminated), "{}", spec.id);
            assert_eq!((a.truncated, b.truncated), (step == 5, false), "{}", spec.id);
            assert_eq!(limited.observation, free.observation, "{}", spec.id);
            if a.terminated {
                break;
            }
        }
    }
}

#[test]
fn drawing_never_steps_and_fills_the_picture() {
    for spec in &env::all() {
        let (mut drawn, mut alone) = (Play::new(spec), Play::new(spec));
        assert_eq!(drawn.reset(Some(2)), alone.reset(Some(2)), "{}", spec.id);
        let (width, height) = drawn.env.env().frame_size();
        let mut canvas = Canvas::new(width, height);
        for _ in 0..10 {
            drawn.env.env().draw(&mut canvas);
            let opaque = canvas.rgba().chunks_exact(4).all(|pixel| pixel[3] == 255);
            assert!(opaque, "{}: part of the picture was not drawn", spec.id);
            let first = canvas.rgba().to_vec();
            drawn.env.env().draw(&mut canvas);
            assert!(first == canvas.rgba(), "{}: a second drawing differs", spec.id);
            assert_eq!(drawn.run(1), alone.run(1), "{}", spec.id);
        }
    }
}

#[test]
fn observing_never_steps() {
    for spec in &env::all() {
        let mut envs = [(); 2].map(|()| (spec.make)(&Options::new()).expect(&spec.id));
        let space = envs[0].action_space().clone();
        let mut seen = [(); 2].map(|()| vec![f32::NAN; envs[0].observation_space().len()]);
        let mut rng = NpRandom::new(1);
        for env in &mut envs {
            env.reset(Some(8)).expect(&spec.id);
        }
        for _ in 0..20 {
            let action = sample(&space, &mut rng);
            let action = space.action(&action).expect("drawn from it");
            let [looking, blind] = &mut envs;
            looking.observe(&mut seen[0]).expect(&spec.id);
            looking.observe(&mut seen[1]).expect(&spec.id);
            assert_eq!(seen[0], seen[1], "{}: a second look differs", spec.id);
            let step = looking.step(action).expect(&spec.id);
            assert_eq!(step, blind.step(action).expect(&spec.id), "{}", spec.id);
            if step.terminated {
                break;
            }
        }
        for (env, seen) in envs.iter().zip(&mut seen) {
            env.observe(seen).expect(&spec.id);
        }
        assert_eq!(seen[0], seen[1], "{}", spec.id);
    }
}

#[test]
fn actions_outside_the_space_are_refused_and_move_nothing() {
    for spec in &env::all() {
        let mut play = Play::new(spec);
        let before = play.reset(Some(6));
        let space = play.env.env().action_space().clone();
        let valid = play.action();
        let mut bad = vec![vec![], [&valid[..], &[0.0]].concat()];
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9, -1e9] {
            for place in 0..valid.len() {
                bad.push(valid.clone());
                bad.last_mut().unwrap()[place] = wrong;
            }
        }
        if let Some(n) = space.discrete() {
            bad.extend([vec![n as f32], vec![-1.0], vec![0.5]]);
        }
        for action in bad {
            let error = play.env.step(&action, &mut play.observation).unwrap_err();
            assert!(matches!(error, EnvError::InvalidAction { .. }), "{}: {error}", spec.id);
            assert!(error.to_string().contains(&space.to_string()), "{}: {error}", spec.id);
            assert_eq!(play.observation, before, "{}", spec.id);
        }
        assert_eq!(play.env.elapsed_steps(), 0, "{}", spec.id);
    }
}

#[test]
fn vectors_of_every_environment_step_and_restart() {
    for spec in &env::all() {
        let options = Options::new();
        let mut envs = VectorEnv::with_time_limit(spec, &options, 3, Some(7)).expect(&spec.id);
        envs.reset(Some(11)).expect(&spec.id);
        let first = envs.observations().to_vec();
        let mut rng = NpRandom::new(2);
        let mut finished = 0;
        for _ in 0..15 {
            let space = envs.action_space().clone();
            let actions: Vec<f32> = (0..3).flat_map(|_| sample(&space, &mut rng)).collect();
            envs.step(&actions).expect(&spec.id);
            finished += envs.finished().len();
        }
        assert!(finished >= 6, "{}: {finished} episodes", spec.id);
        envs.reset_each(&[11, 12, 13]).expect(&spec.id);
        assert_eq!(envs.observations(), first, "{}", spec.id);
    }
}

/// Every number and every action has a name, but for pictures and for the numbered states of toy texts.
#[test]
fn observations_and_actions_are_explained() {
    for spec in &env::all() {
        let env = (spec.make)(&Options::new()).unwrap();
        let places = |space: &Space| match space {
            Space::Discrete { n } => *n,
            Space::Tuple { spaces } => spaces.len(),
            space => space.len(),
        };
        let (observations, actions) = (env.observation_meanings(), env.action_meanings());
        assert_eq!(actions.len(), places(env.action_space()), "{}: actions", spec.id);
        match env.observation_space() {
            Space::Box { shape, .. } if shape.len() == 3 => assert!(observations.is_empty()),
            Space::Discrete { .. } => assert!(observations.is_empty()),
            space => assert_eq!(observations.len(), places(space), "{}: observations", spec.id),
        }
    }
    for (id, option) in [("LunarLander-v3", true), ("CarRacing-v3", false)] {
        let options = Options::from_iter([("continuous".to_owned(), option.into())]);
        let env = (env::find(id).unwrap().make)(&options).unwrap();
        assert_eq!(env.action_meanings().len(), if option { 2 } else { 5 }, "{id}");
    }
}

#[test]
fn options_have_schemas_and_unknown_ones_are_refused() {
    for spec in &env::all() {
        let schema = (spec.options_schema)().to_value();
        assert_eq!(schema["type"], "object", "{}", spec.id);
        let defaults: Options = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, property)| {
                assert!(property["description"].is_string(), "{}: {name}", spec.id);
                (name.clone(), property["default"].clone())
            })
            .collect();
        assert!((spec.make)(&defaults).is_ok(), "{}: refuses its own defaults", spec.id);
        let mut unknown = Options::new();
        unknown.insert("no_such_option".to_owned(), 1.into());
        let error = (spec.make)(&unknown).err().expect("a refusal").to_string();
        assert!(error.contains("no_such_option"), "{}: {error}", spec.id);
    }
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    for (id, options, path) in [
        ("CartPole-v1", serde_json::json!({ "low": 1.0, "high": 0.0 }), "low"),
        ("CartPole-v1", serde_json::json!({ "low": "x" }), "low"),
        ("CartPole-v1", serde_json::json!({ "sutton_barto_reward": 1 }), "sutton_barto_reward"),
        ("MountainCar-v0", serde_json::json!({ "low": 0.0 }), "low"),
        ("Acrobot-v1", serde_json::json!({ "book_or_nips": "paper" }), "book_or_nips"),
        ("Acrobot-v1", serde_json::json!({ "torque_noise_max": -1.0 }), "torque_noise_max"),
        ("Pendulum-v1", serde_json::json!({ "g": null }), "g"),
        ("LunarLander-v3", serde_json::json!({ "continuous": "yes" }), "continuous"),
        ("Taxi-v3", serde_json::json!({ "render_mode": "human" }), "render_mode"),
    ] {
        let options = options.as_object().expect("an object");
        let error = (env::find(id).expect(id).make)(options).err().expect("a refusal");
        assert_eq!(error.dotted(), path, "{id}: {error}");
    }
}

proptest! {
    /// A number is an action of `Discrete(n)` exactly where it is one of the whole numbers below n.
    #[test]
    fn discrete_spaces_take_whole_numbers_only(value in proptest::num::f32::ANY, n in 1_usize..600) {
        let space = Space::Discrete { n };
        let expected = (0..n).any(|whole| whole as f32 == value);
        prop_assert_eq!(space.contains(&[value]), expected);
        prop_assert_eq!(space.action(&[value]).is_some(), expected);
    }
}
