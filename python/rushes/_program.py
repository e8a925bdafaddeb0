"""The program `rushes`, which this package comes with."""

from __future__ import annotations

import importlib.metadata
import pathlib
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._run import Run


class RushesError(RuntimeError):
    """What the program refused or could not do, in its own words."""

    #: Where trials of :func:`rushes.run` failed: the run, whose other trials are complete.
    run: Run | None = None


@cache
def program() -> pathlib.Path:
    """The program that was installed with this package, else the first one on the PATH.

    Raises:
        RushesError: If there is none.
    """
    for file in importlib.metadata.files("rushes") or []:
        if file.name in ("rushes", "rushes.exe") and (path := pathlib.Path(file.locate()).resolve()).is_file():
            return path
    found = shutil.which("rushes")
    if found is None:
        raise RushesError("there is no program `rushes` beside this package or on the PATH: install the wheel again")
    return pathlib.Path(found)


def ask(*arguments: object) -> str:
    """What the program prints for `arguments`.

    Raises:
        RushesError: With its message, if it prints nothing and fails.
    """
    ended = subprocess.run([program(), *map(str, arguments)], capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL)
    # A check that regressed ends with an exit code of its own, and has its answer printed.
    if ended.returncode and not ended.stdout:
        raise RushesError(ended.stderr.rpartition("error: ")[2].strip() or f"rushes ended with exit code {ended.returncode}")
    return ended.stdout
