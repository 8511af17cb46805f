"""Runs side by side: as a table for a terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from rich.table import Table
from rich.text import Text

ARROWS = {"min": "↓", "max": "↑", "baseline": "≈"}
BEST, NOISE, FRONT = "*", "~", "◆"
LEGEND = (
    f"{BEST} best   {NOISE} no difference from the best was found   {FRONT} no run is better in both of the front's metrics"
)


def digits(value: float | None, spread: float | None = None) -> str:
    """A score in a few characters, with its spread over seeds."""
    if value is None:
        return "-"
    text = f"{value:.0e}" if 0 < abs(value) < 0.0005 else f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
    return text if spread is None else f"{text} ± {spread:.3f}"


def mark(column: Any, row: Any, found: Any) -> str:
    """Best, within noise of it, or nothing."""
    return BEST if row.name == column.best else NOISE if found.noise(column.name, row.name) else ""


def heading(column: Any) -> str:
    """The metric with the way that is better."""
    return f"{column.name} {ARROWS.get(column.target or '', '')}".rstrip()


def setting_text(value: Any) -> str:
    """A setting in a cell."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _cells(rows: Any, columns: Any, found: Any, keys: Any, marks: Any) -> tuple[list[str], list[list[str]]]:
    """Headings and lines: run, scores, settings that differ, how it was measured."""
    head = ["run", *(heading(c) for c in columns), *keys, *(["measured"] if marks else [])]
    body = []
    for row in rows:
        name = f"{row.name} {FRONT}" if row.name in found.front else row.name
        values = [f"{digits(row.value(c.name), row.spread(c.name))}{mark(c, row, found)}" for c in columns]
        own = [marks.get(row.entries[0].name, "")] if marks else []
        body.append([name, *values, *(setting_text(row.setting(key)) for key in keys), *own])
    if any(c.baseline is not None for c in columns):
        blank = [""] * (len(keys) + bool(marks))
        body.append(["(never trained)", *(digits(c.baseline) if c.baseline is not None else "" for c in columns), *blank])
    return head, body


def compare_table(rows: Any, columns: Any, found: Any, keys: Any, marks: Any, width: int) -> Table:
    """A row for each run where that fits into `width` characters, else a column for each."""
    head, body = _cells(rows, columns, found, keys, marks)
    scores = range(1, 1 + len(columns))
    lines = [[part for part in cell.replace(".", ".\n").split("\n")] for cell in head]
    needed = [max([*map(len, line), *(len(cells[i]) for cells in body)]) for i, line in enumerate(lines)]
    if sum(needed) + 2 * len(needed) <= width:
        table = _empty()
        for i, line in enumerate(lines):
            table.add_column("\n".join(line), justify="right" if i in scores else "left", no_wrap=True)
        for i, cells in enumerate(body):
            table.add_row(*map(_styled, cells), style="dim" if i == len(rows) else "")
        return table
    table = _empty()
    table.add_column("", no_wrap=True)
    for cells in body:
        table.add_column(cells[0], justify="right", overflow="fold")
    for i in range(1, len(head)):
        table.add_row(Text(head[i]), *(_styled(cells[i]) for cells in body), style="" if i in scores else "dim")
    return table


def _empty() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", caption=LEGEND, caption_justify="left")


def _styled(cell: str) -> Text:
    return Text(cell, style="bold" if cell.endswith(BEST) else "")


def as_markdown(rows: Any, columns: Any, found: Any, keys: Any, marks: Any) -> str:
    """A table that fits a pull-request comment."""
    head, body = _cells(rows, columns, found, keys, marks)
    align = ["---", *["---:"] * len(columns), *["---"] * (len(head) - 1 - len(columns))]
    lines = [head, align, *body]
    escaped = ["| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in line) + " |" for line in lines]
    return "\n".join(escaped) + f"\n\n{LEGEND.replace('*', chr(92) + '*')}\n"


def as_csv(rows: Any, columns: Any, found: Any, keys: Any, marks: Any) -> str:
    """Plain numbers, a line for each run."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    spreads = any(row.spread(c.name) is not None for row in rows for c in columns)
    names = [name for c in columns for name in ((c.name, f"{c.name}.spread") if spreads else (c.name,))]
    writer.writerow(["run", *keys, *(["measured"] if marks else []), "front", *names])
    for row in rows:
        values = [v for c in columns for v in ((row.value(c.name), row.spread(c.name)) if spreads else (row.value(c.name),))]
        own = [marks.get(row.entries[0].name, "")] if marks else []
        writer.writerow(
            [row.name, *(setting_text(row.setting(k)) for k in keys), *own, int(row.name in found.front), *values]
        )
    return out.getvalue()
