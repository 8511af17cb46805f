"""Runs side by side: the cells of the table, and the table for a terminal and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from unlearn_cli.console import visible

BEST, NOISE, UNKNOWN, FRONT = "*", "~", "?", "◆"
BEFORE, BASELINE = "before", "baseline"  # rows of the table below those of the runs
LISTED = 5  # names in a sentence, at most


@dataclass(frozen=True)
class Cell:
    """The text at one place of the table."""

    text: str
    mark: str = ""  # BEST, NOISE, UNKNOWN or nothing

    @property
    def whole(self) -> str:
        """Text and mark."""
        return f"{self.text}{self.mark}"


@dataclass(frozen=True)
class Grid:
    """Headings and lines: run, scores, verdict, settings that differ, hash of the protocol.

    A setting that only one method has, with one value, gets no column but a place in that method's line.
    """

    head: list[str]
    body: list[list[Cell]]
    scores: range  # columns of the scores
    runs: int  # lines that are runs; more lines are the model before unlearning and the baseline
    legend: list[str]
    method_settings: list[str]  # a line for each method with settings that no other has
    notes: list[str]  # what a reader must know before the numbers
    failed: frozenset[int] = frozenset()  # lines of runs that did not end well


def heading_lines(text: str) -> list[str]:
    """A heading in parts that may stand under each other: `forget.`, `extraction_`, `strength ↓`."""
    lines = []
    for part in text.replace(".", ".\n").split("\n"):
        lines += part.replace("_", "_\n").split("\n") if len(part) > 12 else [part]
    return lines


def listed(names: Sequence[str]) -> str:
    """Names in a sentence; of more than `LISTED` names the first ones, and the number of the others."""
    more = f" and {len(names) - LISTED + 1} more" if len(names) > LISTED else ""
    return ", ".join(names[: LISTED - 1] if more else names) + more


def setting_text(value: Any) -> str:
    """A setting in a cell."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def compare_table(grid: Grid, width: int, *, notes: bool) -> Group:
    """A line for each run, at most `width` characters wide, under the notes if `notes`. Numbers are never cut.

    If the table is too wide, names lose what they share; then numbers with a key replace the names; then the columns are
    split over several tables.
    """
    names = [line[0].text for line in grid.body]
    runs, others = names[: grid.runs], names[grid.runs :]
    short, shared = without_common(runs)
    numbers = [f"{i} {FRONT}" if name.endswith(FRONT) else str(i) for i, name in enumerate(runs, 1)]
    key = [f"{i} = {name.removesuffix(f' {FRONT}')}" for i, name in enumerate(runs, 1)]
    namings = [(names, []), ([*short, *others], [shared] if shared else []), ([*numbers, *others], key)]
    widths = [_needed(grid, column) for column in range(1, len(grid.head))]
    for labels, footer in namings:
        if _longest(labels) + sum(widths) + 2 * len(widths) <= width:
            return _tables(grid, [list(range(1, len(grid.head)))], labels, footer, notes=notes)
    labels, footer = next((n for n in namings[:2] if _longest(n[0]) <= max(16, width // 4)), namings[2])
    room, scores = width - _longest(labels), len(grid.scores)
    blocks = _blocks(widths, room)
    # Scores and settings in tables of their own, if that takes no more tables.
    settings = [[column + scores for column in block] for block in _blocks(widths[scores:], room)]
    separate = [*_blocks(widths[:scores], room), *settings]
    return _tables(grid, separate if len(separate) == len(blocks) else blocks, labels, footer, notes=notes)


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns, counted from 1, that fit beside each other."""
    blocks: list[list[int]] = [[]]
    left = room
    for column, width in enumerate(widths, 1):
        if blocks[-1] and width + 2 > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= width + 2
    return blocks


def _tables(grid: Grid, blocks: list[list[int]], labels: list[str], footer: list[str], *, notes: bool) -> Group:
    parts: list[RenderableType] = []
    if notes and grid.notes:
        parts += [*(Text(line, style="yellow") for line in grid.notes), Text("")]
    for columns in blocks:
        parts += [_table(grid, columns, labels), Text("")]
    parts += [Text(line, style="dim") for line in [*footer, *([""] if footer else [])]]
    parts += [Text(line, style="dim") for line in [*grid.legend, *grid.method_settings]]
    return Group(*parts)


def _table(grid: Grid, columns: list[int], labels: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("run", no_wrap=True, vertical="bottom")
    for column in columns:
        numeric = column in grid.scores
        table.add_column(
            "\n".join(heading_lines(grid.head[column])), justify="right" if numeric else "left", no_wrap=numeric,
            min_width=_needed(grid, column) if numeric else None, overflow="fold",
        )  # fmt: skip
    for i, (label, line) in enumerate(zip(labels, grid.body, strict=True)):
        cells = [Text(line[column].whole, style="bold" if line[column].mark == BEST else "") for column in columns]
        table.add_row(Text(label), *cells, style="dim" if i >= grid.runs or i in grid.failed else "")
    return table


def _needed(grid: Grid, column: int) -> int:
    return max(len(text) for text in [*heading_lines(grid.head[column]), *(line[column].whole for line in grid.body)])


def _longest(texts: Sequence[str]) -> int:
    return max(3, *map(len, texts))


def without_common(names: Sequence[str]) -> tuple[list[str], str]:
    """Names without the words that all of them begin and end with, and a line that says so; 1e-4 is one word."""
    if len(names) < 2:
        return list(names), ""
    plain = [name.removesuffix(f" {FRONT}") for name in names]
    words = [re.split(r"(?<=[/-])(?<![0-9]e-)", name) for name in plain]
    least = min(map(len, words)) - 1
    start = next((n for n in range(least) if len({w[n] for w in words}) > 1), least)
    end = next((n for n in range(least - start) if len({w[-1 - n] for w in words}) > 1), least - start)
    short = ["".join(w[start : len(w) - end]) for w in words]
    head, tail = "".join(words[0][:start]), "".join(words[0][len(words[0]) - end :])
    if not head and not tail:
        return list(names), ""
    marked = [text.rstrip("-_/") + name[len(bare) :] for text, name, bare in zip(short, names, plain, strict=True)]
    parts = [f"begin with {head}"] * bool(head) + [f"end with {tail}"] * bool(tail)
    return marked, f"all names {' and '.join(parts)}"


def as_markdown(grid: Grid) -> str:
    """A table that fits a pull-request comment."""
    align = ["---" if column not in grid.scores else "---:" for column in range(len(grid.head))]
    lines = [grid.head, align, *([cell.whole for cell in line] for line in grid.body)]
    table = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    texts = (grid.notes, [*grid.legend, *grid.method_settings])
    before, after = ("".join(f"{_escaped(line)}  \n" for line in lines) for lines in texts)
    return "\n".join(part for part in (before, f"{table}\n", after) if part)


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return re.sub(r"([|*~`\[\]\\])", r"\\\1", plain)
