"""--columns: the user's column names, for all splits or for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_cli.assignments import Unreadable, read_assignments, split_at_commas
from unlearn_cli.data.formats._choice import known_keys
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import closest, unknown

SPLITS = ("forget", "retain", "holdout", "choices", "attack")  # names that may stand before a key


def parse_columns(text: str | Sequence[str]) -> dict[str, str]:
    """`prompt=q,answer=a`, or such texts, as {"prompt": "q", "answer": "a"}.

    Raises:
        UnlearnError: a part is not key=column, or a key comes twice.
    """
    columns: dict[str, str] = {}
    try:
        for key, (column,) in read_assignments(split_at_commas(text), _not_empty):
            if key in columns:
                raise UnlearnError(f"--columns names '{key}' twice", "one column for each key")
            columns[key] = column
    except Unreadable as error:
        raise UnlearnError(
            f"--columns: '{error.part}' is not key=column", "for example --columns prompt=q,answer=a"
        ) from None
    return columns


def _not_empty(column: str) -> str:
    if not column:
        raise ValueError("no column")
    return column


class Renaming:
    """The part of --columns that concerns one split."""

    def __init__(self, split: str, columns: Mapping[str, str], elsewhere: bool = False) -> None:
        """A key with a split's name before it ("retain.prompt") applies to that split only, and wins over the plain key.

        Args:
            split: name of the split.
            columns: the whole value of --columns.
            elsewhere: a column of a plain key may be missing in this split, because another split has it.

        Raises:
            UnlearnError: an unknown split or key.
        """
        self._split, self._columns, self._elsewhere = split, columns, elsewhere
        self._keys: dict[str, str] = {}  # our key -> the key as it was written
        for written in sorted(columns, key=lambda key: "." in key):
            named, dot, ours = written.rpartition(".")
            if dot and named not in (*SPLITS, split):
                raise unknown("split", named, SPLITS, where=f"--columns {written} takes one of {', '.join(SPLITS)}")
            if ours not in known_keys():
                raise unknown("--columns key", ours, known_keys())
            if not dot or named == split:
                self._keys[ours] = written

    def apply(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The rows with the user's columns renamed to our keys.

        Raises:
            UnlearnError: a column is missing.
        """
        have = columns_of(rows)
        mapping = {}
        for ours, written in self._keys.items():
            theirs = self._columns[written]
            if theirs in have:
                mapping[ours] = theirs
            elif not self._elsewhere or "." in written:
                raise UnlearnError(f"no column '{theirs}'; have: {', '.join(have)}", self._nearest(have))
        if not mapping:
            return list(rows)
        taken = {*mapping, *mapping.values()}
        return [
            {key: value for key, value in row.items() if key not in taken}
            | {ours: row.get(theirs) for ours, theirs in mapping.items()}
            for row in rows
        ]

    def proposed(self, more: Mapping[str, str]) -> str:
        """A complete --columns value: the given one, with `more` added for this split."""
        given = dict(self._columns)
        if given:
            more = {f"{self._split}.{ours}": theirs for ours, theirs in more.items()}
        return ",".join(f"{key}={column}" for key, column in {**given, **more}.items())

    def _nearest(self, have: Sequence[str]) -> str | None:
        """The hint: --columns with each missing column replaced by the nearest existing one, or by the next unused one."""
        wanted = {written: self._columns[written] for written in self._keys.values()}
        free = [column for column in have if column not in wanted.values()]
        nearest_of = dict(self._columns)
        for written, theirs in wanted.items():
            if theirs not in have:
                ours = written.rpartition(".")[2]
                nearest = ours if ours in free else closest(theirs, free) or next(iter(free), None)
                if nearest is None:
                    return None
                free.remove(nearest)
                nearest_of[written] = nearest
        return f"try --columns {','.join(f'{key}={column}' for key, column in nearest_of.items())}"


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every column of any row, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))
