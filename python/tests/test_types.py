"""Types: strict, and as those who import the package see them."""

import pathlib
import subprocess
import sys

CONFIG = pathlib.Path(__file__).parents[2] / "pyproject.toml"


def test_the_installed_packages_types_are_consistent(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", CONFIG, "--cache-dir", tmp_path, "--package", "rushes"],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout + told.stderr
