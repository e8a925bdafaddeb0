"""The environments through Python: Gymnasium's own checks, its recordings, and its vector environment beside ours."""

import json
import pathlib
import warnings
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rushes

GOLDENS = pathlib.Path(__file__).parents[2] / "tests" / "goldens"
RECORDINGS = [
    path
    for folder in (".", "box2d", "mujoco", "gymnasium-1.4")
    for path in sorted((GOLDENS / folder).glob("*-v[0-9]*.json"))
]


def flat(observation):
    return np.concatenate([np.ravel(part) for part in observation]) if isinstance(observation, tuple) else observation


def same_observation(ours, recorded):
    if isinstance(recorded, dict):  # CarRacing's picture, which another rasteriser draws: rewards and flags tell
        return ours.shape == (96, 96, 3) and ours.dtype == np.uint8
    return np.array_equal(np.ravel(flat(ours)).astype(np.float64), np.ravel(np.asarray(recorded, np.float64)))


@pytest.mark.parametrize("id", rushes.ids())
def test_gymnasiums_checker_accepts_it(id):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gymnasium.make(id, render_mode="rgb_array").unwrapped)


def test_there_are_recordings():
    assert len(RECORDINGS) > 50


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recordings_of_gymnasium_are_equal(path):
    recording = json.loads(path.read_text())
    env = gymnasium.make(f"rushes/{recording['env_id']}", **recording["kwargs"])
    for trajectory in recording["trajectories"]:
        observation, _ = env.reset(seed=trajectory["seed"])
        assert same_observation(observation, trajectory["reset_obs"])
        resets = {reset["after_step"]: reset for reset in trajectory["resets"]}
        for k, action in enumerate(trajectory["actions"]):
            if isinstance(action, list):
                action = np.asarray(action, np.float32)
            observation, reward, terminated, truncated, _ = env.step(action)
            assert same_observation(observation, trajectory["obs"][k]), k
            told = (trajectory["reward"][k], trajectory["terminated"][k], trajectory["truncated"][k])
            assert (reward, terminated, truncated) == told, k
            if k in resets:
                observation, _ = env.reset()
                assert same_observation(observation, resets[k]["obs"]), k


def same(ours, theirs):
    """Whether observations or infos are equal, with the same types of arrays."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[name], theirs[name]) for name in theirs)
    if isinstance(theirs, (tuple, list)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, np.ndarray) and theirs.dtype == object:
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, np.ndarray):
        return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return ours == theirs


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    "id", ["CartPole-v1", "Blackjack-v1", "FrozenLake-v1", "Taxi-v3", "Pendulum-v1", "LunarLander-v3", "Hopper-v5"]
)
def test_vectors_equal_gymnasiums(id, mode, threads):
    """Ours equal Gymnasium's vector environment over single ones of ours, step by step."""
    number, id = 5, f"rushes/{id}"
    ours = gymnasium.make_vec(id, number, autoreset_mode=mode, threads=threads, max_episode_steps=30)
    single = lambda: gymnasium.make(id, max_episode_steps=30)  # noqa: E731
    theirs = SyncVectorEnv([single] * number, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata == theirs.metadata
    ours.action_space.seed(1)
    assert same(ours.reset(seed=7), theirs.reset(seed=7))
    ended = 0
    for step in range(100):
        actions = ours.action_space.sample()
        told, expected = ours.step(actions), theirs.step(actions)
        assert same(told, expected), step
        over = expected[2] | expected[3]
        ended += over.sum()
        if mode == AutoresetMode.DISABLED and over.any():
            with pytest.raises(ValueError, match="reset_mask"):
                ours.step(actions)
            assert same(
                ours.reset(options={"reset_mask": over}), theirs.reset(options={"reset_mask": over.copy()})
            )
    assert ended > 5
    assert same(ours.reset(seed=[3, 1, 4, 1, 5]), theirs.reset(seed=[3, 1, 4, 1, 5]))
    assert same(ours.reset(), theirs.reset())


@pytest.mark.parametrize("id", ["LunarLander-v3", "BipedalWalker-v3", "CarRacing-v3", "Hopper-v5"])
def test_an_environment_goes_on_on_another_thread(id):
    def episode(env):
        env.action_space.seed(3)
        return [env.step(env.action_space.sample()) for _ in range(60)]

    here, there = (gymnasium.make(f"rushes/{id}") for _ in range(2))
    assert same(here.reset(seed=5), there.reset(seed=5))
    with ThreadPoolExecutor(1) as thread:
        assert same(thread.submit(episode, there).result(), episode(here))


def test_views_stay_and_copies_do_not():
    views, copies = (rushes.vector("CartPole-v1", 2, copy=copy) for copy in (False, True))
    for envs, shared in ((views, True), (copies, False)):
        first, _ = envs.reset(seed=1)
        second, *told = envs.step(np.array([0, 1]))
        assert np.shares_memory(first, second) == shared
        assert np.array_equal(first, second) == shared
        _, *after, _ = envs.step(np.array([0, 1]))
        assert [np.shares_memory(*pair) for pair in zip(told, after)] == [shared] * 3


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_actions_may_be_of_any_type(id):
    envs = rushes.vector(id, 4)
    actions = np.array([1, 0, 1, 0]).reshape(envs.action_space.shape)
    every_other = np.repeat(actions, 2, axis=0)[::2]
    kinds = [actions, actions.astype(np.int32), actions.astype(np.float32), actions.astype(np.float64), actions.tolist(), every_other]
    for taken in [*kinds, actions.astype(bool), tuple(actions)]:
        envs.reset(seed=2)
        told = envs.step(taken)
        expected = told if taken is actions else expected  # noqa: F821
        assert same(told, expected)
    for wrong in (actions[:3], actions[None], 1, np.zeros((0, 4))):
        with pytest.raises(ValueError, match="actions have the shape"):
            envs.step(wrong)


def test_seeds_that_nobody_gave_are_told():
    a = rushes.vector("CartPole-v1", 3)
    observations, _ = a.reset()
    again, _ = rushes.vector("CartPole-v1", 3).reset(seed=list(a.np_random_seed))
    assert np.array_equal(observations, again)
    env = gymnasium.make("rushes/CartPole-v1")
    observation, _ = env.reset()
    again, _ = gymnasium.make("rushes/CartPole-v1").reset(seed=env.unwrapped.np_random_seed)
    assert np.array_equal(observation, again)


def test_pictures_are_drawn():
    envs = rushes.vector("LunarLander-v3", 2, render_mode="rgb_array")
    envs.reset(seed=1)
    pictures = envs.render()
    assert len(pictures) == 2 and pictures[0].shape == (400, 600, 3) and pictures[0].dtype == np.uint8
    assert len(np.unique(pictures[0])) > 3


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_wrong_arguments_are_refused(make):
    with pytest.raises(TypeError, match="unexpected option 'gravitas'; it has: .*gravity"):
        make("rushes/LunarLander-v3", gravitas=-10.0)
    with pytest.raises(ValueError, match="gravity"):
        make("rushes/LunarLander-v3", gravity=3.0)


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="there is no environment 'CartPol-v1'"):
        rushes.vector("CartPol-v1", 2)
    envs = rushes.vector("CartPole-v1", 2)
    with pytest.raises(RuntimeError, match="never reset"):
        envs.step(np.array([0, 1]))
    env = gymnasium.make("rushes/CartPole-v1", render_mode="rgb_array").unwrapped
    for call in (env.render, lambda: env.step(0)):
        with pytest.raises(RuntimeError, match="never reset"):
            call()
    envs.reset(seed=1)
    with pytest.raises(ValueError, match="copy 1 is not in the action space"):
        envs.step(np.array([0, 2]))
    with pytest.raises(ValueError):
        envs.step(np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="expected one for each of the 2 copies"):
        envs.reset(seed=[1])
    with pytest.raises(ValueError, match="take none there"):
        envs.reset(options={"low": 0.0})
    with pytest.raises(ValueError, match="num_envs is 0"):
        rushes.vector("CartPole-v1", 0)
    with pytest.raises(ValueError, match="threads is 0"):
        rushes.vector("CartPole-v1", 1, threads=0)
