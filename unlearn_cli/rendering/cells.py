"""Runs side by side as cells: headings, values with their marks, what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearn_cli.rendering.tables import ARROWS, digits

BEST, NOISE, UNKNOWN, FRONT = "*", "~", "?", "◆"
MOST_DIGITS = 4  # beyond the usual ones, where a best value would not show otherwise


@dataclass(frozen=True)
class Cell:
    """What stands in one place."""

    text: str
    mark: str = ""  # BEST, NOISE, UNKNOWN or nothing

    @property
    def whole(self) -> str:
        """Text and mark."""
        return f"{self.text}{self.mark}"


@dataclass(frozen=True)
class Grid:
    """Headings and lines: run, scores, settings that differ, how it was measured.

    Settings that one method alone has, with one value, say no more than its name: they are told in a line, not in columns.
    """

    head: list[str]
    body: list[list[Cell]]
    scores: range  # places of the scores
    runs: int  # lines that are runs; one after them is the baseline
    legend: list[str]
    told_apart: list[str]  # a line for each method with settings of its own
    notes: list[str]  # all that must be known before the numbers are read
    failed: frozenset[int] = frozenset()  # lines of runs that did not end well


def heading(column: Any) -> str:
    """The metric with the way that is better."""
    return f"{column.name} {ARROWS.get(column.target or '', '')[:1]}".rstrip()


def heading_lines(text: str) -> list[str]:
    """A heading in parts that may stand under each other: `forget.`, `extraction_`, `strength ↓`."""
    lines = []
    for part in text.replace(".", ".\n").split("\n"):
        lines += part.replace("_", "_\n").split("\n") if len(part) > 12 else [part]
    return lines


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a sentence; of many the first ones, and how many more."""
    more = f" and {len(names) - most + 1} more" if len(names) > most else ""
    return ", ".join(names[: most - 1] if more else names) + more


def setting_text(value: Any) -> str:
    """A setting in a cell."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def grid(made: Any, pair: Sequence[str], notes: Sequence[str]) -> Grid:
    """All cells as text.

    Args:
        made: the comparison: rows, columns, what was found, settings that differ, and marks of how each was measured.
        pair: the front's metrics.
        notes: all that must be known before the numbers are read.
    """
    rows, columns, found, keys, marks = made.rows, made.columns, made.found, made.keys, made.alike.marks
    own = {key: method for key in keys if "method" in keys and (method := _method_of(rows, key))}
    keys = [key for key in keys if key not in own]
    head = ["run", *map(heading, columns), *keys, *(["measured"] if marks else [])]
    scores = [_scores(rows, column, found) for column in columns]
    body = []
    for place, row in enumerate(rows):
        name = f"{row.name} {FRONT}" if row.name in found.front else row.name
        rest = [*(setting_text(row.setting(key)) for key in keys), *([marks[row.entries[0].name]] if marks else [])]
        body.append([Cell(name), *(cells[place] for cells in scores), *map(Cell, rest)])
    if any(column.baseline is not None for column in columns):
        values = [
            cells[-1] if column.baseline is not None else Cell("") for column, cells in zip(columns, scores, strict=True)
        ]
        body.append([Cell("baseline"), *values, *(Cell("") for _ in range(len(keys) + bool(marks)))])
    legend = _legend(body, rows, columns, pair)
    failed = frozenset(place for place, row in enumerate(rows) if row.failed)
    return Grid(head, body, range(1, 1 + len(columns)), len(rows), legend, _told_apart(rows, own), list(notes), failed)


def _method_of(rows: Sequence[Any], key: str) -> str | None:
    """The method whose runs alone have a setting, all of them the same value."""
    having = {row.setting("method") for row in rows if row.setting(key) is not None}
    if len(having) != 1:
        return None
    method = having.pop()
    values = {setting_text(row.setting(key)) for row in rows if row.setting("method") == method}
    return method if len(values) == 1 else None


def _told_apart(rows: Sequence[Any], own: Mapping[str, str]) -> list[str]:
    """A line for each method with settings of its own."""
    first = {row.setting("method"): row for row in reversed(rows)}
    told: dict[str, list[str]] = {}
    for key, method in own.items():
        told.setdefault(method, []).append(f"{key} {setting_text(first[method].setting(key))}")
    return [f"only {method} has {', '.join(settings)}" for method, settings in told.items()]


def _scores(rows: Sequence[Any], column: Any, found: Any) -> list[Cell]:
    """One metric of all rows and of the baseline, with as many digits as the best needs to stand out."""
    values = [row.value(column.name) for row in rows]
    best = [v for v, row in zip(values, rows, strict=True) if row.name in column.best]
    others = [v for v, row in zip(values, rows, strict=True) if row.name not in column.best and v is not None]
    shown = range(MOST_DIGITS + 1)
    more = next((n for n in shown if not {digits(v, n) for v in best} & {digits(v, n) for v in others}), MOST_DIGITS)
    made = []
    for row, value in zip(rows, values, strict=True):
        spread = row.spread(column.name)
        text = "-" if value is None else digits(value, more) + (f" ± {digits(spread)}" if spread is not None else "")
        made.append(Cell(text + _partly(row, column), _mark(row, column, found)))
    return [*made, Cell("" if column.baseline is None else digits(column.baseline, more))]


def _partly(row: Any, column: Any) -> str:
    """Of how many runs of a row the value is, where it is not of all."""
    of, missing = len(row.entries), row.missing(column.name)
    return f" ({of - missing} of {of})" if 0 < missing < of else ""


def _mark(row: Any, column: Any, found: Any) -> str:
    if row.name in column.best:
        return BEST
    verdict = found.verdicts.get((column.name, row.name))
    return "" if verdict is None else NOISE if verdict.noise else "" if verdict.known else UNKNOWN


def _legend(body: Sequence[Sequence[Cell]], rows: Sequence[Any], columns: Sequence[Any], pair: Sequence[str]) -> list[str]:
    """A line for each mark that stands in the table."""
    used = {cell.mark for line in body for cell in line}
    targets = {column.target for column in columns}
    lines = [
        (BEST in used, f"{BEST} best"),
        (NOISE in used, f"{NOISE} no difference from the best was found"),
        (UNKNOWN in used, f"{UNKNOWN} whether it differs from the best is not known"),
        (any(line[0].text.endswith(FRONT) for line in body), f"{FRONT} no run is better in both {' and '.join(pair)}"),
        (any("±" in cell.text for line in body for cell in line), "± standard deviation over runs"),
        (
            any(_partly(row, column) for row in rows for column in columns),
            "(1 of 2) not all runs of the row have it: not judged",
        ),
        ("baseline" in targets, f"{ARROWS['baseline'][:1]} better is nearer to the baseline"),
    ]
    return [text for there, text in lines if there]
