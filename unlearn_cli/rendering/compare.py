"""Runs side by side: as cells, and these as a table for a terminal, as Markdown; plain numbers as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

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

    Settings that one method alone has, with one value, say no more than its name: they are told in the legend.
    """

    head: list[str]
    body: list[list[Cell]]
    scores: range  # places of the scores
    runs: int  # lines that are runs; one after them is the baseline
    legend: list[str]


def heading(column: Any) -> str:
    """The metric with the way that is better."""
    return f"{column.name} {ARROWS.get(column.target or '', '')[:1]}".rstrip()


def setting_text(value: Any) -> str:
    """A setting in a cell."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def grid(rows: Sequence[Any], columns: Sequence[Any], found: Any, keys: Sequence[str], marks: Any, pair: Any) -> Grid:
    """All cells as text.

    Args:
        rows: the runs, in order.
        columns: the metrics.
        found: verdicts and front.
        keys: settings that differ.
        marks: how each run was measured, if not all were measured alike.
        pair: the front's metrics.
    """
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
    legend = [*_legend(body, columns, pair), *_told_apart(rows, own)]
    return Grid(head, body, range(1, 1 + len(columns)), len(rows), legend)


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
        made.append(Cell(text, _mark(row, column, found)))
    return [*made, Cell("" if column.baseline is None else digits(column.baseline, more))]


def _mark(row: Any, column: Any, found: Any) -> str:
    if row.name in column.best:
        return BEST
    verdict = found.verdicts.get((column.name, row.name))
    return "" if verdict is None else NOISE if verdict.noise else "" if verdict.known else UNKNOWN


def _legend(body: Sequence[Sequence[Cell]], columns: Sequence[Any], pair: Sequence[str]) -> list[str]:
    """A line for each mark that stands in the table."""
    used = {cell.mark for line in body for cell in line}
    targets = {column.target for column in columns}
    lines = [
        (BEST in used, f"{BEST} best"),
        (NOISE in used, f"{NOISE} no difference from the best was found"),
        (UNKNOWN in used, f"{UNKNOWN} whether it differs from the best is not known"),
        (any(line[0].text.endswith(FRONT) for line in body), f"{FRONT} no run is better in both {' and '.join(pair)}"),
        (any("±" in cell.text for line in body for cell in line), "± standard deviation over runs"),
        ("baseline" in targets, f"{ARROWS['baseline'][:1]} better is nearer to the baseline"),
    ]
    return [text for there, text in lines if there]


def compare_table(made: Grid, width: int) -> Group:
    """A line for each run within `width` characters; no number is ever cut.

    What does not fit at once is tried with names without what they share, then with numbers for names and a key, then in
    several tables under each other.
    """
    names = [line[0].text for line in made.body]
    runs, rest = names[: made.runs], names[made.runs :]
    short, shared = without_common(runs)
    numbers = [f"{i} {FRONT}" if name.endswith(FRONT) else str(i) for i, name in enumerate(runs, 1)]
    key = [f"{i} = {name.removesuffix(f' {FRONT}')}" for i, name in enumerate(runs, 1)]
    tried = [(names, []), ([*short, *rest], [shared] if shared else []), ([*numbers, *rest], key)]
    needed = [_needed(made, place) for place in range(1, len(made.head))]
    for shown, under in tried:
        if _longest(shown) + sum(needed) + 2 * len(needed) <= width:
            return _group(made, [list(range(1, len(made.head)))], shown, under)
    shown, under = next((t for t in tried[:2] if _longest(t[0]) <= max(16, width // 4)), tried[2])
    room, cut = width - _longest(shown), len(made.scores)
    blocks = _blocks(needed, room)
    apart = [*_blocks(needed[:cut], room), *([n + cut for n in block] for block in _blocks(needed[cut:], room))]
    return _group(made, apart if len(apart) == len(blocks) else blocks, shown, under)


def _blocks(needed: Sequence[int], room: int) -> list[list[int]]:
    """Places of columns that fit beside each other."""
    made: list[list[int]] = [[]]
    left = room
    for place, wide in enumerate(needed, 1):
        if made[-1] and wide + 2 > left:
            made.append([])
            left = room
        made[-1].append(place)
        left -= wide + 2
    return made


def _group(made: Grid, blocks: list[list[int]], names: list[str], under: list[str]) -> Group:
    parts: list[RenderableType] = []
    for places in blocks:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("run", no_wrap=True, vertical="bottom")
        for place in places:
            numeric = place in made.scores
            table.add_column(
                "\n".join(_head_lines(made.head[place])), justify="right" if numeric else "left", no_wrap=numeric,
                min_width=_needed(made, place) if numeric else None, overflow="fold",
            )  # fmt: skip
        for i, (name, line) in enumerate(zip(names, made.body, strict=True)):
            cells = [Text(line[place].whole, style="bold" if line[place].mark == BEST else "") for place in places]
            table.add_row(Text(name), *cells, style="dim" if i >= made.runs else "")
        parts += [table, Text("")]
    parts += [Text(line, style="dim") for line in [*under, *([""] if under else [])]]
    parts += [Text(line, style="dim") for line in made.legend]
    return Group(*parts)


def _head_lines(text: str) -> list[str]:
    """A heading in short lines: `forget.`, `extraction_`, `strength ↓`."""
    lines = []
    for part in text.replace(".", ".\n").split("\n"):
        lines += part.replace("_", "_\n").split("\n") if len(part) > 12 else [part]
    return lines


def _needed(made: Grid, place: int) -> int:
    return max(len(text) for text in [*_head_lines(made.head[place]), *(line[place].whole for line in made.body)])


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
    begin, tail = "".join(words[0][:start]), "".join(words[0][len(words[0]) - end :])
    if not begin and not tail:
        return list(names), ""
    marked = [text.rstrip("-_/") + name[len(own) :] for text, name, own in zip(short, names, plain, strict=True)]
    parts = [f"begin with {begin}"] * bool(begin) + [f"end with {tail}"] * bool(tail)
    return marked, f"all names {' and '.join(parts)}"


def as_markdown(made: Grid) -> str:
    """A table that fits a pull-request comment."""
    align = ["---" if place not in made.scores else "---:" for place in range(len(made.head))]
    lines = [made.head, align, *([cell.whole for cell in line] for line in made.body)]
    table = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    return table + "\n\n" + "".join(f"{_escaped(line)}  \n" for line in made.legend)


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([|*~])", r"\\\1", text)


def as_csv(rows: Sequence[Any], columns: Sequence[Any], found: Any, keys: Sequence[str], marks: Any) -> str:
    """Plain numbers, a line for each run."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    spreads = any(row.spread(c.name) is not None for row in rows for c in columns)
    names = [name for c in columns for name in ((c.name, f"{c.name}.spread") if spreads else (c.name,))]
    writer.writerow(["run", *keys, *(["measured"] if marks else []), "front", *names])
    for row in rows:
        values = [v for c in columns for v in ((row.value(c.name), row.spread(c.name)) if spreads else (row.value(c.name),))]
        own = [marks[row.entries[0].name]] if marks else []
        writer.writerow(
            [row.name, *(setting_text(row.setting(k)) for k in keys), *own, int(row.name in found.front), *values]
        )
    return out.getvalue()
