"""Experiments through Python: what runs tell, and policies that act as the program's do."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest

import rushes
from rushes import Policy, _program

NOTEBOOK = pathlib.Path(__file__).parents[2] / "docs" / "tutorials" / "t1-gymnasium-reinforce.ipynb"


def agent(algorithm, unit="steps", length=600, policy=None, **settings):
    return {
        "policy": {"type": "neural", "hidden": [16], **(policy or {})},
        "training": {"algorithm": {"name": algorithm, **settings}, "schedule": {unit: length}},
    }


def experiment(environment, agents, **more):
    recording = {"recording": {"before": False, "after": False}}
    return {"name": "python", "environment": {"id": environment}, "seeds": 1, "agents": agents} | recording | more


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    """A run of a random agent and a learning one, with two seeds each."""
    agents = {"random": {"policy": {"type": "random"}}, "reinforce": agent("reinforce", "episodes", 40, learning_rate=0.02)}
    spec = experiment("CartPole-v1", agents, seeds=2, evaluation={"episodes": 5}, recording={"max_steps": 20})
    return rushes.run(spec, output=str(tmp_path_factory.mktemp("runs")), jobs=2, label="from Python")


def test_a_run_tells_what_it_came_to(cartpole, capsys):
    assert (cartpole.name, cartpole.agents) == ("python", ["random", "reinforce"])
    assert [(trial["agent"], trial["seed"]) for trial in cartpole.trials] == [
        ("random", 0), ("random", 1), ("reinforce", 0), ("reinforce", 1)
    ]  # fmt: skip
    assert cartpole.summary["label"] == "from Python"
    returns = cartpole.returns().where(agent="reinforce", moment="after")
    assert returns["return"].dtype == np.float64 and len(returns["return"]) == 2 * 5
    results = cartpole.results.where(agent="reinforce")
    assert results["episodes"].tolist() == [40, 40] and results["episodes"].dtype == np.int64
    means = [returns.where(seed=seed)["return"].mean() for seed in (0, 1)]
    assert results["mean_return_after"].tolist() == pytest.approx(means)
    curve = cartpole.curves().where(agent="reinforce", seed=1)
    assert curve["episodes"][-1] == 40 and (np.diff(curve["steps"]) > 0).all()
    assert len(cartpole.curves().where(agent="random")["steps"]) == 0
    assert "policy_loss" in cartpole.updates["metric"]
    assert cartpole.verdict is None
    assert "reinforce" in repr(cartpole)


def test_takes_are_films_that_a_notebook_shows(cartpole, monkeypatch):
    takes = cartpole.takes()
    assert {(take.agent, take.seed, take.moment) for take in takes} == {
        ("random", 0, "after"), ("reinforce", 0, "before"), ("reinforce", 0, "after")
    }  # fmt: skip
    assert all(take.path.read_bytes()[4:8] == b"ftyp" and len(take.returns) >= 1 for take in takes)
    page = cartpole._repr_html_()
    assert page.count("data:video/mp4;base64,") == 2 and "reinforce" in page and "CartPole-v1" in page
    monkeypatch.setattr("rushes._run.FILMS", 100)
    assert "data:video" not in cartpole._repr_html_() + takes[0]._repr_html_()


def test_tables_become_data_frames(cartpole):
    pandas = pytest.importorskip("pandas")
    frame = cartpole.returns().to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame) == ["agent", "seed", "moment", "episode", "return"]


def test_runs_are_checked(cartpole, tmp_path):
    baseline = tmp_path / "baseline.json"
    _program.ask("baseline", cartpole.path, "-o", baseline)
    assert cartpole.check(baseline)["verdict"] == "held"
    again = rushes.run(cartpole.path / "experiment.json", output=str(tmp_path), check=str(baseline), progress=False)
    assert again.verdict == "held"


def test_fields_are_changed_and_lines_are_shown(tmp_path, capsys):
    spec = experiment("CartPole-v1", {"random": {"policy": {"type": "random"}}})
    changed = rushes.run(spec, output=str(tmp_path), set={"seeds": 3, "evaluation.episodes": np.int64(2)})
    assert len(changed.trials) == 3 and len(changed.returns()["return"]) == 6
    assert "random (seed 2)" in capsys.readouterr().out
    rushes.run(spec, output=str(tmp_path), progress=False)
    assert capsys.readouterr() == ("", "")


def test_what_is_wrong_is_told_in_the_programs_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rushes.RushesError, match="^agents.a.policy.kind: unknown key `kind`"):
        rushes.run(experiment("CartPole-v1", {"a": {"policy": {"type": "random", "kind": 1}}}), progress=False)
    assert list(tmp_path.iterdir()) == [], "the file of the dictionary is gone"
    with pytest.raises(rushes.RushesError, match="--jbs"):
        rushes.run("nowhere.json", jbs=2, progress=False)
    with pytest.raises(rushes.RushesError, match="it is no run's directory"):
        rushes.Run(tmp_path)
    with pytest.raises(TypeError, match="expected numbers, texts"):
        rushes.run({"name": object()})


def test_a_failed_trial_is_an_error_with_the_run(tmp_path):
    agents = {"random": {"policy": {"type": "random"}}, "rule": {"policy": {"type": "hard-coded", "rule": "if obs[0] < -0.1 { obs[9] } else { 0 }"}}}
    with pytest.raises(rushes.RushesError, match="rule--s0: ") as raised:
        rushes.run(experiment("CartPole-v1", agents), output=str(tmp_path), progress=False)
    assert raised.value.run.agents == ["random", "rule"]


def test_an_interrupt_ends_training(tmp_path):
    script = "import json, sys, rushes; print(rushes.run(json.loads(sys.argv[1]), output=sys.argv[2]).trials[0]['outcome'])"
    spec = experiment("CartPole-v1", {"ppo": agent("ppo", length=10**9)}, evaluation={"episodes": 2})
    command = [sys.executable, "-c", script, json.dumps(spec), str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=tmp_path)
    while not any(log.stat().st_size for log in tmp_path.glob("python/2*/trials/*/events.jsonl")):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    told, _ = child.communicate()
    assert "'stop_reason': 'user'" in told


def played(file, name, steps):
    """Observations and greedy actions of an episode that the program plays."""
    command = [_program.program(), "play", file, name, "--print", "--json", "--greedy", "--max-steps", str(steps)]
    lines = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    told = [json.loads(line) for line in lines[:-1]]
    return [step["observation"] for step in told[:-1]], [step["action"] for step in told[1:]]


ACTIVATIONS = ["linear", "relu", "leaky_relu", "elu", "tanh", "sigmoid", "silu"]
POLICIES = {
    "CartPole-v1": {
        "sigmoid-head": agent("reinforce", "episodes", 20, {"head": "sigmoid", "precision": "float64"}),
        "a2c": agent("a2c", policy={"dropout": 0.2}),
        "ppo": agent("ppo", n_steps=64, normalize_observations=True),
        "shared": agent("ppo", n_steps=64, shared_trunk=True),
        "dqn": agent("dqn", dueling=True, learning_starts=64),
        "pqn": agent("pqn", n_steps=16),
        "lstm": agent("recurrent_ppo", policy={"recurrent": {"hidden_size": 9, "num_layers": 2}}, n_steps=64),
        **{f"reinforce-{name}": agent("reinforce", "episodes", 20, {"activation": name}) for name in ACTIVATIONS},
    },
    "Pendulum-v1": {
        "ppo": agent("ppo", n_steps=64, normalize_observations=True),
        "gru": agent("recurrent_ppo", policy={"recurrent": {"type": "gru", "hidden_size": 9}, "precision": "float64"}, n_steps=64),
        **{name: agent(name, learning_starts=64) for name in ("sac", "td3", "tqc", "crossq")},
        # Means beyond what they are cut to.
        "state-dependent": agent("sac", learning_starts=64, use_sde=True, learning_rate=0.1),
    },
    "Blackjack-v1": {"ppo": agent("ppo", n_steps=64)},
    "Taxi-v3": {"dqn": agent("dqn", learning_starts=64)},
}


@pytest.mark.parametrize("environment", POLICIES)
def test_policies_act_as_the_program_does(environment, tmp_path):
    run = rushes.run(experiment(environment, POLICIES[environment]), output=str(tmp_path), progress=False)
    assert run.policies().keys() == {(name, 0) for name in POLICIES[environment]}
    for name in POLICIES[environment]:
        policy = run.policy(name)
        observations, actions = played(run.path, name, 60)
        space = policy.observation_space
        rows = [tuple(row) if isinstance(space, gymnasium.spaces.Tuple) else np.asarray(row) for row in observations]
        own = [policy(row) for row in rows]
        assert all(policy.action_space.contains(action) for action in own), name
        np.testing.assert_allclose(np.array(own).reshape(len(own), -1), np.array(actions).reshape(len(own), -1), atol=2e-5, err_msg=name)
        if policy.recurrent:
            policy.reset()
            starts = [[row is rows[0]] * 2 for row in rows]
            sides = [policy.many(np.stack([row, row]), episode_starts=start) for row, start in zip(rows, starts)]
            np.testing.assert_allclose(sides, np.stack([own, own], axis=1), atol=2e-5, err_msg=name)
            continue
        together = tuple(np.array(part) for part in zip(*rows)) if isinstance(rows[0], tuple) else np.array(rows)
        np.testing.assert_allclose(policy.many(together), np.array(own), atol=2e-5, err_msg=name)


def test_a_policy_plays_in_gymnasium_and_in_a_vector(cartpole):
    policy = rushes.load_policy(cartpole.policies()["reinforce", 1])
    seed = json.loads((cartpole.path / "trials" / "reinforce--s1" / "result.json").read_text())["after"]["seed"]
    env = gymnasium.make("rushes/CartPole-v1")
    (observation, _), total, over = env.reset(seed=seed), 0.0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        total, over = total + reward, terminated or truncated
    assert total == cartpole.returns().where(agent="reinforce", seed=1, moment="after", episode=0)["return"][0]
    envs = rushes.vector("CartPole-v1", 3)
    observations, _ = envs.reset(seed=1)
    assert policy.many(observations).tolist() == [policy(row) for row in observations]


def test_convolutions_see_pictures_with_channels_first():
    """Learned ones need the torch engine, which the wheel is without: a made-up network beside sums by hand."""
    rng = np.random.default_rng(3)
    tensors = {"0.weight": rng.normal(size=(2, 3, 2, 2)), "0.bias": rng.normal(size=2)}
    tensors |= {"2.weight": rng.normal(size=(4, 12)), "2.bias": rng.normal(size=4)}
    box = {"type": "box", "dtype": "uint8", "low": 0, "high": 255, "shape": [5, 7, 3]}
    layers = [{"type": "convolution", "kernel": 2, "stride": 2}, {"type": "flatten"}, {"type": "linear"}]
    readout = {"type": "action_values", "dueling": False}
    described = {"agent": "a", "observation_space": box, "action_space": {"type": "discrete", "n": 4}}
    policy = Policy(described | {"layers": layers, "readout": readout}, tensors)
    picture = policy.observation_space.sample()
    maps = np.empty((2, 2, 3))
    for output, y, x in np.ndindex(maps.shape):
        seen = picture[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].transpose(2, 0, 1) / 255
        maps[output, y, x] = (seen * tensors["0.weight"][output]).sum() + tensors["0.bias"][output]
    outputs = tensors["2.weight"] @ maps.ravel() + tensors["2.bias"]
    np.testing.assert_allclose(policy.network(policy.features(picture)[None])[0], outputs, atol=1e-5)
    assert policy(picture) == outputs.argmax()


def test_masked_policies_take_valid_actions():
    tensors = {"0.weight": np.array([[3.0], [2.0], [1.0], [5.0]]), "0.bias": np.zeros(4)}
    box = {"type": "box", "dtype": "float32", "low": 0, "high": 1, "shape": [1]}
    described = {"agent": "a", "observation_space": box, "layers": [{"type": "linear"}], "action_mask": True}

    def policy(space, head):
        readout = {"type": "distribution", "head": head, "log_std": []}
        return Policy(described | {"action_space": space, "readout": readout}, tensors)

    values = described | {"readout": {"type": "action_values", "dueling": True}}
    discrete = Policy(values | {"action_space": {"type": "discrete", "n": 3}}, tensors)
    observation = np.ones(1, np.float32)
    assert discrete(observation, [0, 1, 1]) == 1
    assert discrete.many([observation] * 2, [[1, 1, 1], [0, 0, 1]]).tolist() == [0, 2]
    several = policy({"type": "multi_discrete", "nvec": [2, 2]}, {"type": "categorical", "nvec": [2, 2]})
    assert several(observation, ([0, 1], [1, 0])).tolist() == [1, 0]
    sigmoid = policy({"type": "discrete", "n": 2}, {"type": "bernoulli"})
    assert [sigmoid(observation, mask) for mask in ([1, 1], [1, 0], [0, 1])] == [0, 0, 1]
    with pytest.raises(rushes.RushesError, match="give it the action_mask of info"):
        discrete(observation)


def test_recurrent_policies_remember_an_episode(tmp_path):
    lstm = agent("recurrent_ppo", policy={"recurrent": {"hidden_size": 4}}, n_steps=64)
    policy = rushes.run(experiment("CartPole-v1", {"lstm": lstm}), output=str(tmp_path), progress=False).policy("lstm")
    seen = np.array([[0.1, 0.2, -0.1, 0.3]], np.float32)
    first, second = policy.network(seen), policy.network(seen)
    assert not np.allclose(first, second)
    policy.reset()
    np.testing.assert_array_equal(policy.network(seen), first)
    with pytest.raises(rushes.RushesError, match="remembers 1 episodes, not 2"):
        policy.network(np.concatenate([seen, seen]))
    policy.reset()
    policy.network(np.concatenate([seen, seen]))
    policy.many(np.concatenate([seen, seen]), episode_starts=[True, False])
    policy.reset()
    with pytest.raises(rushes.RushesError, match="Sequential has no states"):
        policy.to_torch()


def test_policies_become_modules_of_torch(cartpole):
    torch = pytest.importorskip("torch")
    policy = cartpole.policy("reinforce")
    features = np.stack([policy.features(policy.observation_space.sample().clip(-1, 1)) for _ in range(9)])
    outputs = policy.to_torch()(torch.as_tensor(features)).detach().numpy()
    np.testing.assert_allclose(outputs, policy.network(features), atol=1e-5)


def test_what_is_no_network_is_refused(cartpole):
    with pytest.raises(rushes.RushesError, match="random has no network"):
        cartpole.policy("random")
    with pytest.raises(rushes.RushesError, match="nobody"):
        cartpole.policy("nobody")


def test_the_tutorials_notebook_runs(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
