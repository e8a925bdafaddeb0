"""Columns of numbers and texts."""

from __future__ import annotations

import csv
import html
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas


_TEXTS = {"trial", "agent", "status", "moment", "run", "environment", "metric"}
_WHOLE = {"seed", "episodes", "steps", "updates", "episode", "length"}


class Table(Mapping[str, NDArray[Any]]):
    """A table: a mapping from the names of columns to arrays of one length.

    Counts are int64, other numbers float64 with NaN where one is missing, flags bool, texts objects.
    """

    def __init__(self, names: list[str], rows: Iterable[Iterable[Any]]):
        columns = list(zip(*rows)) or [()] * len(names)
        self._columns = {name: _array(name, column) for name, column in zip(names, columns)}

    @classmethod
    def read(cls, path: pathlib.Path) -> Table:
        """A CSV file."""
        with open(path, encoding="utf-8", newline="") as file:
            names, *rows = csv.reader(file)
        return cls(names, rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(next(iter(self._columns.values())))

    def where(self, **values: Any) -> Table:
        """The rows whose columns have these values: `table.where(agent="ppo", seed=0)`."""
        kept = np.ones(self.rows, dtype=np.bool_)
        for name, value in values.items():
            kept &= self._columns[name] == value
        table = Table([], [])
        table._columns = {name: column[kept] for name, column in self._columns.items()}
        return table

    def to_pandas(self) -> pandas.DataFrame:
        """The same as a DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame(self._columns)

    def __repr__(self) -> str:
        return f"<Table of {self.rows} rows: {', '.join(self._columns)}>"

    def _repr_html_(self) -> str:
        shown = [column[:20] for column in self._columns.values()]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self._columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(_text(value))}</td>" for value in row) + "</tr>" for row in zip(*shown))
        return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _array(name: str, column: tuple[Any, ...]) -> NDArray[Any]:
    """A column with the type of its name, whatever its values look like: an agent may be called `5`."""
    if name in _TEXTS:
        return np.array(column, dtype=object)
    if name in _WHOLE and not any(value in ("", None) for value in column):
        return np.array([int(value) for value in column], dtype=np.int64)
    if set(column) <= {"true", "false"}:
        return np.array([value == "true" for value in column], dtype=np.bool_)
    return np.array([np.nan if value in ("", None) else float(value) for value in column], dtype=np.float64)
