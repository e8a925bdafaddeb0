"""Experiments from Python: started through the program, read from the run directory (docs/output-format.md)."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import pathlib
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ._policy import Policy, load_policy
from ._program import RushesError, ask, program
from ._table import Table

#: The most bytes of films that a notebook's cell takes in.
FILMS = 8_000_000


def run(spec: Mapping[str, Any] | str | pathlib.Path, *, progress: bool = True, **options: Any) -> Run:
    """Runs an experiment to its end and returns what it came to.

    Args:
        spec: The experiment, as a dictionary or the path of a file (docs/reference.md has the fields). Paths in a
            dictionary begin at the current folder.
        progress: Whether the program's lines are printed while it goes on.
        options: Those of `rushes run`, with underscores for hyphens: `jobs=2`, `output="runs"`, `label="gamma 0.98"`,
            `quick=True`. `set={"agents.ppo.training.algorithm.gamma": 0.98}` changes fields first; a list repeats an
            option.

    An interrupt (Ctrl-C) ends training: what ran is evaluated and reported; another one ends the run at once.

    Raises:
        RushesError: With the program's message, if the experiment is wrong, or a trial failed. In the latter case the
            other trials are complete, and the exception's `run` is the :class:`Run`.
    """
    with _file(spec) as file:
        command = [str(program()), "run", str(file), "--plain", *_arguments(options)]
        code, report, told = _watched(command, progress)
    if not report:
        message = told.rpartition("error: ")[2].strip() or f"rushes ended with exit code {code}"
        if isinstance(spec, Mapping):  # There is no file to look into.
            message = re.sub(rf"{re.escape(str(file))}:\d+:\d+: ", "", message)
        raise RushesError(message)
    ended = Run(pathlib.Path(report).parent)
    if failed := [trial for trial in ended.trials if trial["outcome"] and trial["outcome"]["status"] == "failed"]:
        error = RushesError("\n".join(f"{trial['trial']}: {trial['outcome']['error']}" for trial in failed))
        error.run = ended
        raise error
    return ended


@contextlib.contextmanager
def _file(spec: Mapping[str, Any] | str | pathlib.Path) -> Iterator[pathlib.Path]:
    """The file of an experiment; for a dictionary one in the current folder, where its paths begin, for a while."""
    if not isinstance(spec, Mapping):
        yield pathlib.Path(spec)
        return
    with tempfile.NamedTemporaryFile("w", dir=".", prefix="experiment-", suffix=".json", encoding="utf-8") as file:
        json.dump(spec, file, default=_plain)
        file.flush()
        yield pathlib.Path(file.name)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, pathlib.PurePath):
        return str(value)
    raise TypeError(f"the experiment has {value!r}, expected numbers, texts, lists and dictionaries")


def _arguments(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, Mapping):
            yield from (f"{option}={path}={json.dumps(new, default=_plain)}" for path, new in value.items())
        elif isinstance(value, bool) or value is None:
            yield from [option] * bool(value)
        else:
            yield from (f"{option}={one}" for one in (value if isinstance(value, (list, tuple)) else [value]))


def _watched(command: list[str], progress: bool) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a program; an interrupt goes on to it."""
    # In a session of its own, or a terminal's Ctrl-C would reach it twice.
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True
    )
    assert child.stdout is not None and child.stderr is not None
    told = []
    try:
        while True:
            try:
                for line in child.stderr:
                    told.append(line)
                    if progress:
                        print(line, end="", flush=True)
                return child.wait(), child.stdout.read().strip(), "".join(told)
            except KeyboardInterrupt:
                child.send_signal(signal.SIGINT)
    except BaseException:
        child.terminate()
        raise


@dataclass(frozen=True)
class Take:
    """A film of some episodes."""

    agent: str
    seed: int
    #: `before`, `during` or `after` training, or `training`, an episode of it.
    moment: str
    #: The MP4 file.
    path: pathlib.Path
    #: The return of each episode.
    returns: tuple[float, ...]

    def _repr_html_(self) -> str:
        """The film itself, as far as it is not too large."""
        title = html.escape(f"{self.agent}, seed {self.seed}, {self.moment}: {', '.join(f'{value:g}' for value in self.returns)}")
        if self.path.stat().st_size > FILMS:
            return f"<figure><figcaption>{title}: {html.escape(str(self.path))}</figcaption></figure>"
        data = base64.b64encode(self.path.read_bytes()).decode()
        video = f'<video controls loop muted width="300" src="data:video/mp4;base64,{data}"></video>'
        return f'<figure style="display: inline-block">{video}<figcaption>{title}</figcaption></figure>'


class Run:
    """A run that is over, read from its directory.

    Args:
        path: The run's directory, for example `output/cartpole/latest`.

    Raises:
        RushesError: If it is none, or the run is not over.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path).resolve()
        try:
            self.summary: dict[str, Any] = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            running = (self.path / "plan.json").is_file()
            why = "it is not over: `rushes run --resume=RUN` goes on with it" if running else "it is no run's directory"
            raise RushesError(f"{path} has no summary.json: {why}") from None
        if (version := self.summary["format_version"]) > 1:
            raise RushesError(f"{path}/summary.json has the format_version {version}, this package reads 1: install a newer one")

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.summary["experiment"]

    @property
    def agents(self) -> list[str]:
        """The agents' names, in the experiment's order."""
        return [agent["name"] for agent in self.summary["agents"]]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial: its `agent`, `seed`, and what docs/output-format.md tells of a seed in `summary.json`."""
        return [{"agent": agent["name"], **seed} for agent in self.summary["agents"] for seed in agent["seeds"]]

    @cached_property
    def _tables(self) -> dict[str, Table]:
        with tempfile.TemporaryDirectory() as folder:
            ask("export", self.path, "--csv", folder)
            return {file.stem: Table.read(file) for file in pathlib.Path(folder).glob("*.csv")}

    @property
    def results(self) -> Table:
        """A row for each trial: status, episodes, steps, seconds, mean returns before and after training."""
        return self._tables["results"]

    @property
    def updates(self) -> Table:
        """A row for each training metric written down at an update."""
        return self._tables["updates"]

    def curves(self) -> Table:
        """The learning curves: `agent`, `seed`, `episodes`, `steps` and `seconds` of training so far, and `return`, the mean
        over the last `curve_window` training episodes; at most 200 points a trial."""
        points = ((trial, trial["curve"]) for trial in self.trials)
        rows = (
            (trial["agent"], trial["seed"], *point)
            for trial, curve in points
            for point in zip(curve["episodes"], curve["steps"], curve["seconds"], curve["returns"])
        )
        return Table(["agent", "seed", "episodes", "steps", "seconds", "return"], rows)

    def returns(self) -> Table:
        """The episodes of the evaluations before and after training: `agent`, `seed`, `moment` (`before`, `after`), `episode`
        (from 0; the same number is the same start for every agent) and `return`, the sum of the rewards."""
        rows = (
            (trial["agent"], trial["seed"], moment, episode, value)
            for trial in self.trials
            for moment, returns in (("before", trial["before_returns"]), ("after", trial["final_returns"]))
            for episode, value in enumerate(returns)
        )
        return Table(["agent", "seed", "moment", "episode", "return"], rows)

    def takes(self) -> list[Take]:
        """The films, trial by trial, in the order they were filmed."""
        found = []
        for trial in self.trials:
            folder = self.path / "trials" / trial["trial"]
            if (result := folder / "result.json").is_file():
                for take in json.loads(result.read_text(encoding="utf-8"))["takes"]:
                    returns = tuple(take["take"]["returns"])
                    found.append(Take(trial["agent"], trial["seed"], take["moment"], folder / take["file"], returns))
        return found

    def policies(self) -> dict[tuple[str, int], pathlib.Path]:
        """The files of the learned policies, by agent and seed; :func:`rushes.load_policy` reads them."""
        files = {
            (trial["agent"], trial["seed"]): self.path / "trials" / trial["trial"] / "policy.safetensors" for trial in self.trials
        }
        return {key: file for key, file in files.items() if file.is_file()}

    def policy(self, agent: str, seed: int | None = None) -> Policy:
        """The learned policy of an agent, by default of its first seed."""
        return load_policy(self.path, agent if seed is None else f"{agent}/{seed}")

    def check(self, baseline: str | pathlib.Path) -> dict[str, Any]:
        """What `rushes check` decides against a baseline: its `verdict` and what it is made of."""
        return json.loads(ask("check", self.path, "--baseline", baseline, "--json"))

    @cached_property
    def verdict(self) -> str | None:
        """`improved`, `held`, `regressed` or `inconclusive` where the run was checked against a baseline (`check=FILE`)."""
        baseline = self.path / "baseline.json"
        return self.check(baseline)["verdict"] if baseline.is_file() else None

    def __repr__(self) -> str:
        return f"<Run of {self.name}: {', '.join(self.agents)}; {self.path}>"

    def _repr_html_(self) -> str:
        """Name, returns and a film of each agent after training, as many as fit."""
        rows = []
        for agent in self.summary["agents"]:
            mean = {
                moment: np.mean([np.mean(seed[moment]) for seed in agent["seeds"] if seed[moment]] or [np.nan])
                for moment in ("before_returns", "final_returns")
            }
            cells = [agent["name"], *("" if np.isnan(value) else f"{value:.1f}" for value in mean.values()), str(len(agent["seeds"]))]
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        films: list[str] = []
        left = FILMS
        last = {take.agent: take for take in reversed(self.takes()) if take.moment == "after"}
        for take in last.values():
            if (size := take.path.stat().st_size) <= left:
                left -= size
                films.insert(0, take._repr_html_())
        head = "<tr><th>agent</th><th>mean return before</th><th>after</th><th>seeds</th></tr>"
        title = f"<b>{html.escape(self.name)}</b> on {html.escape(self.summary['environment'])}, {html.escape(self.summary['run'])}"
        return f"<p>{title}</p><table>{head}{''.join(rows)}</table>{''.join(films)}"
