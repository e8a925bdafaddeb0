"""Reports from a training script to rushes; needs nothing but Python 3.8 (docs/external-trainers.md).

    import rushes_trainer

    with rushes_trainer.start(framework="my library 1.0") as run:
        while not run.should_stop:
            ...  # train an episode with run.settings["learning_rate"], seeded by run.seed
            run.episode(total_reward, length)
        run.evaluate(policy)  # policy: observation -> action
"""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

VERSION = 1


def start(framework=None, resumable=False):
    """The trial that this script runs. `framework` is shown in the report; a `resumable` script writes checkpoints
    when `run.checkpoint_due` says so and goes on from `run.resume["path"]`."""
    path = os.environ.get("RUSHES_TRIAL")
    if path is None:
        sys.exit("rushes_trainer: RUSHES_TRIAL is not set; `rushes run` starts this script")
    with open(path, encoding="utf-8") as file:
        return Run(json.load(file), framework, resumable)


class Run:
    """A trial: what it is told (attributes) and what it reports (methods)."""

    def __init__(self, told, framework, resumable):
        if told["version"] != VERSION:
            sys.exit(f"rushes_trainer: rushes speaks version {told['version']}, this file {VERSION}")
        self.agent, self.seed, self.settings = told["agent"], told["seed"], told["settings"]
        self.schedule, self.environment = told["schedule"], told["environment"]
        self.evaluation_settings, self.recording = told["evaluation"], told["recording"]
        self.directory = pathlib.Path(told["directory"])
        self.checkpoints = pathlib.Path(told["checkpoints"])
        self._program, self._finish = told["program"], told["finish"]
        self.resume, self.resumable = told["resume"], resumable
        self._pause_at = told["pause_at"] if resumable else None
        start = self.resume or {"steps": 0, "episodes": 0, "updates": 0, "seconds": 0.0}
        self.steps, self.episodes, self.updates = start["steps"], start["episodes"], start["updates"]
        self._begun = time.monotonic() - start["seconds"]
        self._periods = {}
        stop = self.schedule.get("stop") or {}
        self._stop, self._solved = stop, False
        self._recent = collections.deque(maxlen=stop.get("window", 1))
        self._running = stop.get("initial", 0.0)
        if self.resume:
            with open(told["events"], encoding="utf-8") as events:
                for event in map(json.loads, events):
                    if event["event"] == "episode":
                        self._count(event["return"])
        self._file = open(told["reports"], "a", encoding="utf-8", buffering=1)
        self._write("hello", version=VERSION, resumable=resumable, framework=framework)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()

    def _write(self, type, **fields):
        line = {"type": type, **fields}
        if type != "hello":
            line.update(steps=self.steps, seconds=self.seconds)
        self._file.write(json.dumps(line, allow_nan=False) + "\n")

    def _count(self, episode_return):
        stop = self._stop
        self._recent.append(episode_return)
        if stop.get("mean_return") is not None and len(self._recent) == self._recent.maxlen:
            self._solved |= sum(self._recent) >= stop["mean_return"] * len(self._recent)
        smoothing = stop.get("smoothing", 0.0)
        self._running = smoothing * episode_return + (1.0 - smoothing) * self._running
        if stop.get("running_return") is not None:
            self._solved |= self._running > stop["running_return"]

    @property
    def seconds(self):
        """Seconds of training so far, evaluations by `evaluate` and interruptions left out."""
        return time.monotonic() - self._begun

    @property
    def should_stop(self):
        """Whether the schedule is used up, its stop rule holds or the user is satisfied (Ctrl-C)."""
        limits = ((self.schedule.get(name), getattr(self, name))
                  for name in ("episodes", "steps", "updates", "seconds"))
        return self._solved or os.path.exists(self._finish) or any(limit is not None and done >= limit for limit, done in limits)

    def due(self, period):
        """Whether a period of the schedule ("evaluate_every", "checkpoint_every", …) was completed since the last
        call; never where the schedule has none."""
        every = self.schedule.get(period)
        if every is None:
            return False
        unit, every = next(iter(every.items())) if isinstance(every, dict) else (
            self.schedule["period_unit"], every)
        before = (self.resume or {}).get(unit, 0) // every
        now = getattr(self, unit) // every
        completed = now > self._periods.get(period, before)
        self._periods[period] = now
        return completed

    @property
    def checkpoint_due(self):
        """Whether it is time for a checkpoint, as `schedule.checkpoint_every` has it or for a pause."""
        due = self.due("checkpoint_every")
        return self.resumable and (due or self._pauses)

    @property
    def _pauses(self):
        return self._pause_at is not None and self.steps >= self._pause_at

    def new_checkpoint(self):
        """A path in the checkpoints' folder that no checkpoint has: make a file or a folder of it."""
        return self.checkpoints / f"step-{self.steps}"

    def checkpoint(self, path):
        """All that training goes on from is at `path`. Does not return where the trial pauses here: the script is started
        again with `run.resume`."""
        self._write("checkpoint", path=pathlib.Path(path).name)
        if self._pauses:
            sys.exit(0)

    def episode(self, total_reward, length, truncated=False, steps=None):
        """A training episode ended. `steps`: environment steps of training so far, of all environments; by default the
        lengths of all episodes together."""
        self.steps = self.steps + int(length) if steps is None else int(steps)
        self.episodes += 1
        self._count(float(total_reward))
        self._write("episode", **{"return": float(total_reward)}, length=int(length), truncated=bool(truncated))

    def metrics(self, metrics, updates=None):
        """Diagnostics by their names (`policy_loss`, …) after an update of the policy."""
        self.updates = self.updates + 1 if updates is None else int(updates)
        values = {name: float(value) for name, value in metrics.items()}
        self._write("metrics", metrics=values, updates=self.updates)

    def evaluation(self, moment, returns, lengths, seeds, cut=()):
        """The policy was evaluated "before", "during" or "after" training, in episodes of these seeds."""
        self._write("evaluation", moment=moment, returns=[float(r) for r in returns],
                    lengths=[int(n) for n in lengths], seeds=[int(s) for s in seeds], cut=[bool(c) for c in cut])

    def take(self, path, moment, rewards, seeds, poster=None):
        """A video (MP4 with H.264, VP9 or AV1) of episodes with these rewards and seeds; it is moved to the others."""
        name = f"step-{self.steps}" if moment == "during" else moment
        names = [self._moved(file, name) for file in (path, poster) if file is not None]
        self._write("take", moment=moment, file=names[0], poster=(names + [None])[1],
                    rewards=[[float(r) for r in episode] for episode in rewards], seeds=[int(s) for s in seeds])

    def policy(self, path):
        """The trained policy; it is moved into the trial's directory."""
        self._write("policy", file=self._moved(path, "policy"))

    def _moved(self, path, name):
        to = self.directory / (name + pathlib.Path(path).suffix)
        shutil.move(str(path), str(to))
        return to.name

    def note(self, message):
        """Something that a person should know, for the report."""
        self._write("note", message=str(message))

    def end(self):
        """Everything was reported."""
        self._write("end")
        self._file.close()

    def make_env(self, **arguments):
        """The experiment's environment from Gymnasium, as its `gymnasium` block says."""
        import importlib

        import gymnasium

        if "command" in self.environment:
            raise ValueError("the experiment's environment is a program of its own (`command`), which Gymnasium cannot make")
        block = self.environment.get("gymnasium", {})
        for module in block.get("import", []):
            found = importlib.import_module(module)
            if hasattr(gymnasium, "register_envs"):
                gymnasium.register_envs(found)
        limit = self.environment.get("max_episode_steps")
        if limit is not None:
            arguments.setdefault("max_episode_steps", limit)
        env = gymnasium.make(self.environment["id"], **{**self.environment.get("options", {}), **arguments})
        for wrapper in block.get("wrappers", []):
            wrapper = {"name": wrapper} if isinstance(wrapper, str) else wrapper
            module, _, name = wrapper["name"].rpartition(":")
            env = getattr(importlib.import_module(module or "gymnasium.wrappers"), name)(env, **wrapper.get("options", {}))
        return env

    def evaluate(self, policy, moment="after", env=None):
        """Plays the experiment's evaluation episodes with `policy` (observation -> action) in `env`, by default a new
        `make_env()`, and reports them. Gives their mean return."""
        begun = time.monotonic()
        told = self.evaluation_settings
        first, count = ((told["training_seed"], told["training_episodes"]) if moment == "during"
                        else (told["seed"], told["episodes"]))
        seeds = range(first, first + count)
        env = self.make_env() if env is None else env
        rewards, cut = zip(*(_play(env, policy, seed, told["max_episode_steps"]) for seed in seeds))
        returns = [sum(episode) for episode in rewards]
        self._begun += time.monotonic() - begun
        self.evaluation(moment, returns, map(len, rewards), seeds, cut)
        return sum(returns) / count

    def film(self, policy, moment="after", env=None):
        """Films the first evaluation episodes, if the experiment wants that, in an `env` that renders "rgb_array", and
        reports the take."""
        told = self.recording
        if not told[moment]:
            return
        begun = time.monotonic()
        env = self.make_env(render_mode="rgb_array") if env is None else env
        limits = [n for n in (told["max_steps"], self.evaluation_settings["max_episode_steps"]) if n is not None]
        fps = told["video"].get("fps") or env.metadata.get("render_fps", 30)
        first = self.evaluation_settings["seed"]
        seeds = range(first, first + told["episodes"])
        path, encoder = self.directory / ".film.mp4", None
        rewards = []

        def shoot():
            nonlocal encoder
            picture = env.render()
            if encoder is None:
                size = [f"--width={picture.shape[1]}", f"--height={picture.shape[0]}", f"--fps={fps}"]
                look = [f"--codec={told['video']['codec']}", f"--quality={told['video']['quality']}"]
                encoder = subprocess.Popen([self._program, "encode", path, *size, *look], stdin=subprocess.PIPE)
            encoder.stdin.write(picture.tobytes())

        for seed in seeds:
            rewards.append(_play(env, policy, seed, min(limits, default=None), shoot)[0])
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise RuntimeError("rushes encode failed; the lines before say why")
        self._begun += time.monotonic() - begun
        self.take(path, moment, rewards, seeds, path.with_suffix(".png"))

    def sb3_policy(self, model):
        """What a model of Stable-Baselines3 does in evaluations: its best actions, unless `evaluation.mode` says so."""
        greedy = self.evaluation_settings["mode"] == "greedy"
        return lambda observation: model.predict(observation, deterministic=greedy)[0]

    def sb3_callback(self, eval_env=None):
        """A callback for `learn()` of Stable-Baselines3 that reports episodes (of environments with a `Monitor`) and
        metrics, evaluates, writes checkpoints (`model.save`) and stops when the schedule says so."""
        from stable_baselines3.common.callbacks import BaseCallback

        run = self

        class Reports(BaseCallback):
            def _on_step(self):
                run.steps = self.num_timesteps
                for info in self.locals.get("infos", ()):
                    if "episode" in info:
                        run.episode(info["episode"]["r"], info["episode"]["l"],
                                    info.get("TimeLimit.truncated", False), steps=self.num_timesteps)
                return not run.should_stop

            def _on_rollout_end(self):
                if not run.due("log_every"):
                    return
                values = {name[len("train/"):]: value for name, value in self.model.logger.name_to_value.items()
                          if name.startswith("train/") and name != "train/n_updates"}
                if values:
                    run.metrics(values, updates=self.model._n_updates)

            def _on_rollout_start(self):
                if run.due("evaluate_every"):
                    run.evaluate(run.sb3_policy(self.model), "during", eval_env)
                if run.due("record_every"):
                    run.film(run.sb3_policy(self.model), "during")
                if run.checkpoint_due:
                    path = run.new_checkpoint().with_suffix(".zip")
                    self.model.save(path)
                    run.checkpoint(path)

        return Reports()


def _play(env, policy, seed, limit, see=lambda: None):
    """An episode: its rewards, and whether `limit` cut it."""
    observation, _ = env.reset(seed=seed)
    see()
    rewards, over = [], False
    while not over and len(rewards) != limit:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        rewards.append(float(reward))
        over = terminated or truncated
        see()
    return rewards, not over
