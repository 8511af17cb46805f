"""The page of a comparison: summary, tables, pictures, and with --include-samples answers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unlearn_cli import __version__
from unlearn_cli.config import CompareConfig
from unlearn_cli.contract import METRICS
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.pictures import MAX_ROWS, measured_forget_rows, page_figures
from unlearn_cli.recipes.comparison.ranking import Column
from unlearn_cli.recipes.comparison.result import Comparison
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry
from unlearn_cli.recipes.comparison.settings import settings
from unlearn_cli.recipes.scoring.mending import going_on
from unlearn_cli.rendering.compare import BASELINE, BEFORE, Grid, listed, setting_text
from unlearn_cli.rendering.documents import comparison_page
from unlearn_cli.rendering.tables import digits
from unlearn_cli.rendering.verdicts import TONES

WAYS = {"min": "lowest", "max": "highest", "baseline": "closest to the baseline"}
BETTER = {"min": "Less is better.", "max": "More is better.", "baseline": "Nearer to the baseline is better."}
SPLITS = {
    "forget": "the rows that the model should no longer know",
    "retain": "rows like them that it should still know, and that training left out",
    "holdout": "rows like the forget rows that no model has seen",
    "general": "everyday questions that come with unlearn: damage outside of the rows",
    "general_text": "plain paragraphs that come with unlearn: damage outside of the rows",
    "privacy": "whether forget rows can be distinguished from rows that no model has seen",
    "utility": "what the model can still do",
    "relearn": "a few steps of fine-tuning on some forget rows, judged by others",
}
OTHER_LINES = {
    BEFORE: "The model before unlearning.",
    BASELINE: "A model that never saw the forget rows. A perfect run would look like it.",
}
RECOVERY = "The share of what was forgotten that the attack brings back: 0 as if never learned, 1 as before unlearning"


def compare_page(comparison: Comparison, grid: Grid, config: CompareConfig) -> str:
    """The whole page."""
    entries = [entry for row in comparison.rows for entry in row.entries]
    return comparison_page(
        title=_title(entries),
        subtitle=_subtitle(entries),
        summary=list(_summary(comparison)),
        table=grid,
        meanings=dict(zip(grid.scores, map(_meaning, comparison.columns), strict=True)),
        glossary=list(_glossary(comparison, grid)),
        figures=list(page_figures(comparison, allow_different=config.allow_different)),
        left_out=[row.name for row in comparison.rows[MAX_ROWS:]],
        samples=_samples(entries, config.include_samples),
        runs=[_description(entry) for entry in entries],
        version=__version__,
    )


def _title(entries: Sequence[Entry]) -> str:
    """The number of runs, their model, and the number of rows that they forget."""
    models = {report.model.model.rstrip("/").rsplit("/", 1)[-1] for e in entries if (report := e.report).model}
    counts = {data.rows for e in entries if (data := e.report.data.get("forget"))}
    name = entries[0].name
    runs = f"{len(entries)} runs" if len(entries) != 1 else "A run" if name == "run" else f"Run {name}"
    quoted = listed(sorted(f"“{model}”" for model in models))
    on = f" on {'the model ' if len(models) == 1 else ''}{quoted}" if models else ""
    return f"{runs}{on}" + (f": {counts.pop()} rows to forget" if len(counts) == 1 else "")


def _subtitle(entries: Sequence[Entry]) -> str:
    """The measured rows, and the dates of measuring."""
    days = sorted({entry.report.started[:10] for entry in entries} - {""})
    measured = ", ".join(f"{d.measured_rows} of {d.sequences} {name}" for name, d in entries[0].report.data.items())
    return f"{' to '.join(dict.fromkeys((days[0], days[-1]))) if days else 'Undated'}. Rows measured: {measured}."


def _summary(comparison: Comparison) -> Iterator[str]:
    """The comparison in sentences."""
    for column in comparison.columns:
        if column.best and column.name in (*comparison.front_metrics, RELEARNING):
            yield _best_runs(column, comparison)
    if comparison.front:
        pairs = " and ".join(comparison.front_metrics)
        named = [_trade_off(row, comparison) for row in comparison.rows if row.name in comparison.front]
        than = "" if len(named) == 1 else " than one of these"
        others = f" No other run is better in both{than}." if len(named) < len(comparison.rows) else ""
        yield f"Best trade-off{'s' if len(named) > 1 else ''} between {pairs}: {listed(named)}.{others}"
    if not any(column.baseline is not None for column in comparison.columns):
        yield "Not known: the scores of a model that never saw the forget rows (--baseline)."
    if not any(column.name == RELEARNING for column in comparison.columns):
        yield "Not known: whether the answers come back (unlearn relearn-attack RUN)."


def _trade_off(row: Row, comparison: Comparison) -> str:
    values = [row.value(name) for name in comparison.front_metrics]
    return f"{row.name} ({', '.join(digits(value) for value in values if value is not None)})"


def _meaning(column: Column) -> str:
    """A metric in one or two sentences, for readers who do not know it."""
    split, _, metric = column.name.partition(".")
    summary = RECOVERY if column.name == RELEARNING else METRICS.summary(metric) if METRICS.has(metric) else metric
    about = f" ({split}: {SPLITS[split]})" if split in SPLITS else ""
    return f"{summary.rstrip('.')}{about}. {BETTER.get(column.target or '', '')}".strip()


def _glossary(comparison: Comparison, grid: Grid) -> Iterator[tuple[str, str]]:
    """Terms of the page with their meanings: names of the table's rows and columns."""
    yield from ((column.name, _meaning(column)) for column in comparison.columns)
    lines = {line[0].text for line in grid.body[grid.runs :]}
    yield from ((name, text) for name, text in OTHER_LINES.items() if name in lines)
    if comparison.front:
        pair = " and ".join(comparison.front_metrics)
        yield "best trade-off", f"No other run is at least as good in both {pair} and better in one of them."
    yield "95 % interval", "How much a number could change with other rows of the same kind. It does not cover other seeds."


def _best_runs(column: Column, comparison: Comparison) -> str:
    values = {row.name: row.value(column.name) for row in comparison.rows}
    best = values[column.best[0]]
    assert best is not None and column.target is not None  # else there is no best row
    if len(column.best) == len(values):
        return f"{column.name} is the same in all: {digits(best)}."
    verdicts = {name: comparison.verdicts.get((column.name, name)) for name in values}
    noise = [name for name, verdict in verdicts.items() if verdict and verdict.noise]
    unknown = [name for name, verdict in verdicts.items() if verdict and not verdict.known]
    sentence = f"{column.name} is {WAYS[column.target]} in {listed(column.best)}: {digits(best)}"
    sentence += f"; no difference was found for {listed(noise)}" if noise else ""
    return sentence + (f"; not known whether it differs: {listed(unknown)}" if unknown else "") + "."


def _samples(entries: Sequence[Entry], count: int) -> list[dict[str, Any]]:
    """Forget questions whose answers overlap most with the truth in any run."""
    if not count:
        return []
    measured_runs = {e.name: measured for e in entries if (measured := measured_forget_rows(e, "after")) is not None}
    overlaps: dict[str, float] = {}
    for entry in entries:
        ids = sorted(entry.ids("forget"))
        for row, value in zip(ids, entry.values("forget.rouge_l", ids), strict=True):
            if not np.isnan(value):
                overlaps[row] = max(overlaps.get(row, 0.0), float(value))
    samples = []
    for row in sorted(overlaps, key=lambda name: -overlaps[name])[:count]:
        answers, question, truth = [], "", ""
        for name, measured in measured_runs.items():
            if row in measured.ids:
                at = measured.ids.index(row)
                question, truth = measured.prompts[at], measured.references[at]
                answer = measured.generations[at]
                answers.append({"run": name, "text": "(not generated)" if answer is None else answer or "(empty answer)"})
        if answers:
            samples.append({"question": question, "truth": truth, "answers": answers})
    return samples


def _next(entry: Entry) -> str:
    """The command after the verdict; where the run was attacked already, the one after the attack."""
    folder = entry.path.parent if entry.path.is_file() else entry.path
    return next(iter(going_on(entry.verdict.next if entry.verdict else [], entry.report, folder)), "")


def _description(entry: Entry) -> dict[str, Any]:
    report = entry.report
    parts = [f"status {report.status}", *(f"{k} {v}" for k, v in report.environment.items() if isinstance(v, str))]
    if report.training:
        parts.append(f"{report.training.steps} steps, {report.training.tokens:,} tokens")
    if "train" in report.seconds:
        parts.append(f"{report.seconds['train']:.0f} s of training")
    return {
        "name": entry.name,
        "command": shlex.join(["unlearn", *report.command_line]),
        "about": "; ".join(parts),
        "verdict": entry.verdict,
        "tone": TONES.get(entry.verdict.word, "notice") if entry.verdict else "",
        "next": _next(entry),
        "settings": [
            (name, setting_text(value)) for name, value in settings(entry).items() if value not in (None, "", [], {})
        ],
    }
