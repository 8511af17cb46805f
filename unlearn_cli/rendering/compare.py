"""Cells of runs side by side as a table for a terminal and as Markdown; plain numbers as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from unlearn_cli.rendering.cells import BEST, FRONT, Grid, heading_lines, setting_text


def compare_table(made: Grid, width: int, *, notes: bool) -> Group:
    """A line for each run within `width` characters, under the `notes`; no number is ever cut.

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
            return _group(made, [list(range(1, len(made.head)))], shown, under, notes=notes)
    shown, under = next((t for t in tried[:2] if _longest(t[0]) <= max(16, width // 4)), tried[2])
    room, cut = width - _longest(shown), len(made.scores)
    blocks = _blocks(needed, room)
    apart = [*_blocks(needed[:cut], room), *([n + cut for n in block] for block in _blocks(needed[cut:], room))]
    return _group(made, apart if len(apart) == len(blocks) else blocks, shown, under, notes=notes)


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


def _group(made: Grid, blocks: list[list[int]], names: list[str], under: list[str], *, notes: bool) -> Group:
    parts: list[RenderableType] = []
    if notes and made.notes:
        parts += [*(Text(line, style="yellow") for line in made.notes), Text("")]
    for places in blocks:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("run", no_wrap=True, vertical="bottom")
        for place in places:
            numeric = place in made.scores
            table.add_column(
                "\n".join(heading_lines(made.head[place])), justify="right" if numeric else "left", no_wrap=numeric,
                min_width=_needed(made, place) if numeric else None, overflow="fold",
            )  # fmt: skip
        for i, (name, line) in enumerate(zip(names, made.body, strict=True)):
            cells = [Text(line[place].whole, style="bold" if line[place].mark == BEST else "") for place in places]
            table.add_row(Text(name), *cells, style="dim" if i >= made.runs or i in made.failed else "")
        parts += [table, Text("")]
    parts += [Text(line, style="dim") for line in [*under, *([""] if under else [])]]
    parts += [Text(line, style="dim") for line in [*made.legend, *made.told_apart]]
    return Group(*parts)


def _needed(made: Grid, place: int) -> int:
    return max(len(text) for text in [*heading_lines(made.head[place]), *(line[place].whole for line in made.body)])


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
    around = (made.notes, [*made.legend, *made.told_apart])
    before, after = ("".join(f"{_escaped(line)}  \n" for line in lines) for lines in around)
    return "\n".join(part for part in (before, f"{table}\n", after) if part)


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([|*~])", r"\\\1", text)


def as_csv(made: Any) -> str:
    """Plain numbers of a comparison, a line for each run."""
    rows, columns, found, keys, marks = made.rows, made.columns, made.found, made.keys, made.alike.marks
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    shown = {"": lambda row, metric: row.value(metric)}
    if any(row.spread(c.name) is not None for row in rows for c in columns):
        shown[".spread"] = lambda row, metric: row.spread(metric)
    if any(0 < row.missing(c.name) < len(row.entries) for row in rows for c in columns):
        shown[".runs"] = lambda row, metric: len(row.scores(metric))
    names = [f"{c.name}{what}" for c in columns for what in shown]
    writer.writerow(["run", *keys, *(["measured"] if marks else []), "front", *names])
    for row in rows:
        values = [of(row, c.name) for c in columns for of in shown.values()]
        own = [marks[row.entries[0].name]] if marks else []
        settings = (setting_text(row.setting(key)) for key in keys)
        writer.writerow([row.name, *settings, *own, int(row.name in found.front), *values])
    return out.getvalue()
