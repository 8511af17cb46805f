"""The page of a comparison: summary, tables, pictures, and answers if they were asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unlearn_cli import __version__
from unlearn_cli.config import CompareConfig
from unlearn_cli.recipes.comparison.pictures import MAX_ROWS, measured_forget_rows, page_figures
from unlearn_cli.recipes.comparison.ranking import Column
from unlearn_cli.recipes.comparison.result import Comparison
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry
from unlearn_cli.recipes.comparison.settings import settings
from unlearn_cli.rendering.compare import Grid, listed, setting_text
from unlearn_cli.rendering.documents import comparison_page
from unlearn_cli.rendering.tables import digits

WAYS = {"min": "lowest", "max": "highest", "baseline": "closest to the baseline"}


def compare_page(comparison: Comparison, grid: Grid, config: CompareConfig) -> str:
    """The whole page."""
    entries = [entry for row in comparison.rows for entry in row.entries]
    return comparison_page(
        title=f"{len(entries)} runs compared" if len(entries) != 1 else f"Run {entries[0].name}",
        subtitle=_subtitle(entries),
        summary=[*grid.notes, *_summary(comparison)],
        table=grid,
        baseline=any(column.baseline is not None for column in comparison.columns),
        figures=list(page_figures(comparison, allow_different=config.allow_different)),
        left_out=[row.name for row in comparison.rows[MAX_ROWS:]],
        samples=_samples(entries, config.include_samples),
        runs=[_description(entry) for entry in entries],
        version=__version__,
    )


def _subtitle(entries: Sequence[Entry]) -> str:
    report = entries[0].report
    model = report.model.model.rsplit("/", 1)[-1] if report.model else "measurements"
    data = ", ".join(f"{d.measured_rows} of {d.sequences} {name} rows" for name, d in report.data.items())
    return f"{model}; measured: {data}; first run {report.started[:16].replace('T', ' ')} UTC"


def _summary(comparison: Comparison) -> Iterator[str]:
    """The comparison in sentences."""
    for column in comparison.columns:
        if column.best and column.name in (*comparison.front_metrics, RELEARNING):
            yield _best_runs(column, comparison)
    if comparison.front:
        names = [row.name for row in comparison.rows if row.name in comparison.front]
        yield f"No other run is at least as good in both {' and '.join(comparison.front_metrics)}: {listed(names)}."
    if not any(column.baseline is not None for column in comparison.columns):
        yield "Not known: how a baseline scores, a model that never saw the forget rows (--baseline)."
    if not any(column.name == RELEARNING for column in comparison.columns):
        yield "Not known: whether it comes back (unlearn relearn-attack RUN)."


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
        "settings": [
            (name, setting_text(value)) for name, value in settings(entry).items() if value not in (None, "", [], {})
        ],
    }
