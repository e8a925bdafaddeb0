"""A training script of the standard library alone: every kind of report, and, by `settings.fault`, every failure.

Its environment earns what `settings.skill` says and some chance, ten steps an episode, so that a search has something to
find and a kill something to spoil.
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import rushes_trainer

fault = json.load(open(os.environ["RUSHES_TRIAL"]))["settings"].get("fault")
if fault == "no hello":
    sys.exit(0)
run = rushes_trainer.start("standard library", resumable=fault != "not resumable")
settings = run.settings
chance = random.Random(run.seed)
if run.resume:
    chance.setstate(eval(pathlib.Path(run.resume["path"]).read_text()))


def line(text):
    run._file.write(text + "\n")


class Task:
    """Earns the seed's last digit and the action, at once; `see` wants pictures."""

    metadata = {"render_fps": 20}

    def reset(self, seed):
        self.seed, self.steps = seed, 0
        return [0.0], {}

    def step(self, action):
        self.steps += 1
        return [0.0], self.seed % 10 + action, self.steps == 3, False, {}

    def render(self):
        class Picture:
            shape = (32, 48, 3)

            def tobytes(self):
                return bytes(32 * 48 * 3)

        return Picture()


def policy(observation):
    return settings.get("skill", 1.0)


FAULTS = {
    "json": lambda: line("no"),
    "type": lambda: line('{"type": "epsiode"}'),
    "nan": lambda: line('{"type": "episode", "return": NaN, "length": 1}'),
    "field": lambda: line('{"type": "episode", "return": "1", "length": 1}'),
    "steps": lambda: line('{"type": "episode", "return": 1, "length": 1, "steps": 2}'),
    "seeds": lambda: run.evaluation("after", [1.0], [1], [7]),
    "during": lambda: run.evaluation("before", [1.0], [1], [7]),
    "checkpoint": lambda: run.checkpoint("nothing"),
    "take": lambda: line('{"type": "take", "moment": "after", "file": "../x.mp4", "rewards": [[1]], "seeds": [1]}'),
    "no video": lambda: (
        (run.directory / "x.mp4").write_text("no"), run.take(run.directory / "x.mp4", "after", [[1.0]], [1])),
    "exception": lambda: 1 / 0,
    "exit": lambda: os._exit(3),
    "exit 0": lambda: os._exit(0),
    "signal": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "half a line": lambda: (run._file.write('{"type"'), run._file.flush(), os._exit(0)),
    "hang": lambda: time.sleep(1000),
    "no evaluation": lambda: (run.end(), time.sleep(1000)),
    "early end": lambda: run.evaluate(policy, env=Task()),
}

if not run.resume and fault is None:
    run.film(policy, "before", Task())
    run.evaluate(policy, "before", Task())
if "child" in settings:
    child = subprocess.Popen(["sleep", "1000"])
    pathlib.Path(settings["child"]).write_text(f"{os.getpid()} {child.pid}")
pause = settings.get("pause", 0.0)
while not run.should_stop:
    time.sleep(pause)
    run.episode(10.0 * settings.get("skill", 1.0) + chance.random(), 10, truncated=run.episodes % 2 == 0)
    if run.episodes == 3 and fault in FAULTS:
        FAULTS[fault]()
        if fault == "early end":
            break
    if run.due("log_every"):
        run.metrics({"loss": 1.0 / run.episodes})
    if run.due("evaluate_every"):
        run.evaluate(policy, "during", Task())
    if run.checkpoint_due:
        path = run.new_checkpoint()
        path.write_text(repr(chance.getstate()))
        run.checkpoint(path)
if fault not in ("early end",):
    run.evaluate(policy, env=Task())
run.note(f"trained in {pathlib.Path.cwd().name}")
if fault is None:
    run.film(policy, "after", Task())
    (run.directory / "weights.txt").write_text(repr(chance.getstate()))
    run.policy(run.directory / "weights.txt")
run.end()
