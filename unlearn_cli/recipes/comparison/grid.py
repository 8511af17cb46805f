"""A comparison as text cells for a terminal, Markdown and HTML, and as plain numbers for CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.ranking import Column
from unlearn_cli.recipes.comparison.result import Comparison
from unlearn_cli.rendering.compare import BASELINE, BEFORE, BEST, FRONT, NOISE, UNKNOWN, Cell, Grid, setting_text
from unlearn_cli.rendering.tables import ARROWS, digits

MOST_DIGITS = 4  # more than usual, at most, to show the difference between the best value and others


def comparison_grid(comparison: Comparison, notes: Sequence[str]) -> Grid:
    """All cells as text.

    Args:
        comparison: the result.
        notes: notes that a reader needs before the numbers.
    """
    rows, columns, hashes = comparison.rows, comparison.columns, comparison.comparability.run_hashes
    methods = {key: method for key in comparison.setting_keys if (method := _only_method(comparison, key))}
    keys = [key for key in comparison.setting_keys if key not in methods]
    scores = [_score_cells(column, comparison) for column in columns]
    judged = any(row.verdict for row in rows)
    body = []
    for i, row in enumerate(rows):
        name = f"{row.name} {FRONT}" if row.name in comparison.front else row.name
        protocol = [hashes[row.entries[0].name]] if hashes else []
        texts = [*([row.verdict] if judged else []), *(setting_text(row.setting(key)) for key in keys), *protocol]
        body.append([Cell(name), *(cells[i] for cells in scores), *map(Cell, texts)])
    empty = [Cell("")] * (judged + len(keys) + bool(hashes))
    for at, name in ((-2, BEFORE), (-1, BASELINE)):
        if any(cells[at].text for cells in scores):
            body.append([Cell(name), *(cells[at] for cells in scores), *empty])
    return Grid(
        head=["run", *map(_heading, columns), *(["verdict"] if judged else []), *keys, *(["measured"] if hashes else [])],
        body=body,
        scores=range(1, 1 + len(columns)),
        runs=len(rows),
        legend=_legend(body, comparison),
        method_settings=_method_settings(rows, methods),
        notes=list(notes),
        failed=frozenset(i for i, row in enumerate(rows) if row.failed),
    )


def _heading(column: Column) -> str:
    """The metric with an arrow for the better direction."""
    return f"{column.name} {ARROWS.get(column.target or '', '')[:1]}".rstrip()


def _only_method(comparison: Comparison, key: str) -> str | None:
    """The method whose runs are the only ones with a setting, all with the same value; None if there is none."""
    methods = {row.setting("method") for row in comparison.rows if row.setting(key) is not None}
    if len(methods) != 1 or "method" not in comparison.setting_keys:
        return None
    method: str = methods.pop()
    values = {setting_text(row.setting(key)) for row in comparison.rows if row.setting("method") == method}
    return method if len(values) == 1 else None


def _method_settings(rows: Sequence[Row], methods: Mapping[str, str]) -> list[str]:
    """A line for each method with settings that no other method has."""
    first = {row.setting("method"): row for row in reversed(rows)}
    settings: dict[str, list[str]] = {}
    for key, method in methods.items():
        settings.setdefault(method, []).append(f"{key} {setting_text(first[method].setting(key))}")
    return [f"only {method} has {', '.join(texts)}" for method, texts in settings.items()]


def _score_cells(column: Column, comparison: Comparison) -> list[Cell]:
    """One metric of all rows, of the model before, and of the baseline; with enough digits to distinguish the best."""
    values = {row.name: row.value(column.name) for row in comparison.rows}
    best = [value for name, value in values.items() if name in column.best and value is not None]
    others = [value for name, value in values.items() if name not in column.best and value is not None]
    sufficient = (n for n in range(MOST_DIGITS + 1) if not {digits(v, n) for v in best} & {digits(v, n) for v in others})
    extra = next(sufficient, MOST_DIGITS)
    cells = []
    for row in comparison.rows:
        value, spread = values[row.name], row.spread(column.name)
        text = "-" if value is None else digits(value, extra) + (f" ± {digits(spread)}" if spread is not None else "")
        cells.append(Cell(text + _share_of_runs(row, column), _mark(row, column, comparison)))
    return [*cells, *(Cell("" if value is None else digits(value, extra)) for value in (column.before, column.baseline))]


def _share_of_runs(row: Row, column: Column) -> str:
    """The number of runs of a row that have the value, if some have not."""
    runs, missing = len(row.entries), row.missing(column.name)
    return f" ({runs - missing} of {runs})" if 0 < missing < runs else ""


def _mark(row: Row, column: Column, comparison: Comparison) -> str:
    if row.name in column.best:
        return BEST
    verdict = comparison.verdicts.get((column.name, row.name))
    return "" if verdict is None else NOISE if verdict.noise else "" if verdict.known else UNKNOWN


def _legend(body: Sequence[Sequence[Cell]], comparison: Comparison) -> list[str]:
    """A line for each mark in the table."""
    marks = {cell.mark for line in body for cell in line}
    partial = any(_share_of_runs(row, column) for row in comparison.rows for column in comparison.columns)
    lines = [
        (BEST in marks, f"{BEST} best"),
        (NOISE in marks, f"{NOISE} no difference from the best was found"),
        (UNKNOWN in marks, f"{UNKNOWN} whether it differs from the best is not known"),
        (bool(comparison.front), f"{FRONT} no run is better in both {' and '.join(comparison.front_metrics)}"),
        (any("±" in cell.text for line in body for cell in line), "± standard deviation over runs"),
        (partial, "(1 of 2) not all runs of the row have it: not judged"),
        (
            any(column.target == "baseline" for column in comparison.columns),
            f"{ARROWS['baseline'][:1]} better is nearer to the baseline",
        ),
    ]
    return [text for shown, text in lines if shown]


def as_csv(comparison: Comparison) -> str:
    """Plain numbers, a line for each row."""
    rows, columns, keys = comparison.rows, comparison.columns, comparison.setting_keys
    hashes = comparison.comparability.run_hashes
    numbers: dict[str, Callable[[Row, str], float | None]] = {"": Row.value}
    if any(row.spread(column.name) is not None for row in rows for column in columns):
        numbers[".spread"] = Row.spread
    if any(_share_of_runs(row, column) for row in rows for column in columns):
        numbers[".runs"] = lambda row, metric: len(row.values(metric))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{column.name}{suffix}" for column in columns for suffix in numbers]
    writer.writerow(["run", *keys, *(["measured"] if hashes else []), "front", *names])
    for row in rows:
        settings = (setting_text(row.setting(key)) for key in keys)
        protocol = [hashes[row.entries[0].name]] if hashes else []
        values = [number(row, column.name) for column in columns for number in numbers.values()]
        writer.writerow([row.name, *settings, *protocol, int(row.name in comparison.front), *values])
    return text.getvalue()
