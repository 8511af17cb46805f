"""What stands on the page of a comparison: words, pictures, and examples if they were asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unlearn_cli import __version__
from unlearn_cli.config import CompareConfig
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._truth import log_ratio
from unlearn_cli.recipes.comparison.ranking import Comparison
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry, settings
from unlearn_cli.rendering import figures
from unlearn_cli.rendering.attacks import worst_curves
from unlearn_cli.rendering.cells import Grid, listed, setting_text
from unlearn_cli.rendering.documents import comparison_page
from unlearn_cli.rendering.svg import Series
from unlearn_cli.rendering.tables import digits

MAX_ROWS = 8  # in pictures of lines: as many as there are colours
# How a loss is called, and the setting that decides its unit.
LOSSES = {"forget_loss": ("forget loss", "method"), "retain_loss": ("retain loss", "retain_term")}


def compare_page(made: Comparison, cells: Grid, config: CompareConfig) -> str:
    """The whole page."""
    entries = [entry for row in made.rows for entry in row.entries]
    lines = [(place, row.name, entry) for place, row in enumerate(made.rows[:MAX_ROWS]) for entry in row.entries]
    return comparison_page(
        title=f"{len(entries)} runs compared" if len(entries) != 1 else f"Run {entries[0].name}",
        subtitle=_subtitle(entries),
        summary=[*cells.notes, *_summary(made)],
        table=cells,
        baseline=any(column.baseline is not None for column in made.columns),
        figures=[figure for figure in _figures(made, lines, config) if figure],
        left_out=[row.name for row in made.rows[MAX_ROWS:]],
        samples=_samples(entries, config.include_samples),
        runs=[_described(entry) for entry in entries],
        version=__version__,
    )


def _subtitle(entries: Sequence[Entry]) -> str:
    report = entries[0].report
    model = report.model.model.rsplit("/", 1)[-1] if report.model else "measurements"
    data = ", ".join(f"{d.measured_rows} of {d.sequences} {name} rows" for name, d in report.data.items())
    return f"{model}; measured: {data}; first run {report.started[:16].replace('T', ' ')} UTC"


def _summary(made: Comparison) -> Iterator[str]:
    """The comparison in words."""
    rows, columns, found, pair = made.rows, made.columns, made.found, made.pair
    by_name = {row.name: row for row in rows}
    ways = {"min": "lowest", "max": "highest", "baseline": "closest to the baseline"}
    for column in columns:
        if not column.best or column.name not in (*pair, RELEARNING):
            continue
        verdicts = {row.name: found.verdicts.get((column.name, row.name)) for row in rows}
        same = [name for name, verdict in verdicts.items() if verdict and verdict.noise]
        unsure = [name for name, verdict in verdicts.items() if verdict and not verdict.known]
        value = digits(by_name[column.best[0]].value(column.name))
        if len(column.best) == len(rows):
            yield f"{column.name} is the same in all: {value}."
            continue
        text = f"{column.name} is {ways[column.target]} in {listed(column.best)}: {value}"
        text += f"; no difference was found for {listed(same)}" if same else ""
        yield text + (f"; not known whether it differs: {listed(unsure)}" if unsure else "") + "."
    if found.front:
        names = [row.name for row in rows if row.name in found.front]
        yield f"No other run is at least as good in both {' and '.join(pair)}: {listed(names)}."
    if not any(column.baseline is not None for column in columns):
        yield "Not known: how a baseline scores, a model that never saw the forget rows (--baseline)."
    if not any(column.name == RELEARNING for column in columns):
        yield "Not known: whether it comes back (unlearn relearn-attack RUN)."


Lines = Sequence[tuple[int, str, Entry]]  # place and name of the row, and one of its runs


def _figures(made: Comparison, lines: Lines, config: CompareConfig) -> Iterator[figures.Figure | None]:
    """All pictures; none that would set side by side what was not measured alike."""
    alike, baseline = made.alike, made.baseline
    splits = {split for *_, entry in lines for report in entry.reports for split in report.data}
    if made.pair and all(alike.comparable(name.partition(".")[0], splits) for name in made.pair):
        values = [tuple(row.value(name) for name in made.pair) for row in made.rows]
        failed = {row.name for row in made.rows if row.failed}
        yield figures.front([row.name for row in made.rows], values, made.found.front, made.pair, failed)
    if not alike.attacks or config.allow_different:
        yield _relearning(lines)
    if "forget" not in alike.unlike:
        other = _ratios(baseline, "after") if baseline and "forget" not in alike.baseline_unlike else np.array([])
        found_own = (values for *_, entry in lines if len(values := _ratios(entry, "baseline")))
        other = other if baseline else next(found_own, other)
        yield figures.truth([(name, place, _ratios(entry, "after")) for place, name, entry in lines], other)
        yield figures.trajectories([Series(name, _trajectory(entry), place) for place, name, entry in lines])
    held = [(place, name, _steps(entry)) for place, name, entry in lines]
    for key, (kind, by) in LOSSES.items():
        units = {settings(entry).get(by) for *_, entry in lines}
        points = [
            (place, name, [(s["step"], s[key]) for s in steps if s.get(key) is not None]) for place, name, steps in held
        ]
        yield figures.losses(kind, [Series(name, p, place) for place, name, p in points], alike=len(units) == 1)


def _steps(entry: Entry) -> list[dict[str, Any]]:
    path = entry.folder / "metrics.jsonl"
    return [line for line in read_complete_jsonl(path) if "step" in line] if path.is_file() else []


def _trajectory(entry: Entry) -> list[tuple[float, float]]:
    """From before the first step to after the last; empty if nothing was measured between."""
    training = entry.report.training
    if not training or not training.trajectory:
        return []
    points = [(float(t.step), t.scores.get("forget", {}).get("probability")) for t in training.trajectory]
    before, after = (entry.score("forget.probability", moment) for moment in ("before", "after"))
    points = [(0.0, before and before.value), *points, (float(training.steps), after and after.value)]
    return [(step, value) for step, value in points if value is not None]


def _relearning(lines: Lines) -> figures.Figure | None:
    attacked = [
        (place, name, entry.attack, worst_curves(entry.attack, "probability"))
        for place, name, entry in lines
        if entry.attack
    ]
    if not attacked:
        return None
    series = [Series(name, figures.curve(curves["unlearned"]), place) for place, name, _, curves in attacked]
    control = next((points for *_, curves in attacked if (points := figures.curve(curves["baseline"]))), [])
    report = attacked[0][2]
    return figures.relearning(
        [*series, Series("baseline", control, None)],
        f"Fine-tuning on {report.attacker_rows} rows, judged by {report.judged_rows} forget rows that were not among them, "
        "at the attack's worst setting.",
    )


def _measured(entry: Entry, moment: str) -> Measured | None:
    """Measurements of the forget rows, if those on disk are the ones whose scores are shown."""
    # `unlearn evaluate RUN` measures into the run's own folder.
    return None if "forget" in entry.unlike else load_measured(entry.folder / "measured", f"{moment}-forget")


def _ratios(entry: Entry, moment: str) -> np.ndarray:
    measured = _measured(entry, moment)
    return np.array([]) if measured is None else log_ratio(measured)


def _samples(entries: Sequence[Entry], count: int) -> list[dict[str, Any]]:
    """Forget questions whose answers overlap most with the truth in any run."""
    if not count:
        return []
    held = {entry.name: measured for entry in entries if (measured := _measured(entry, "after")) is not None}
    worst: dict[str, float] = {}
    for entry in entries:
        ids = sorted(entry.ids("forget"))
        for row, value in zip(ids, entry.values("forget.rouge_l", ids), strict=True):
            if not np.isnan(value):
                worst[row] = max(worst.get(row, 0.0), float(value))
    made = []
    for row in sorted(worst, key=lambda r: -worst[r])[:count]:
        said, question, truth = [], "", ""
        for name, measured in held.items():
            if row in measured.ids:
                at = measured.ids.index(row)
                question, truth = measured.prompts[at], measured.references[at]
                answer = measured.generations[at]
                said.append({"run": name, "text": "(not generated)" if answer is None else answer or "(empty answer)"})
        if said:
            made.append({"question": question, "truth": truth, "said": said})
    return made


def _described(entry: Entry) -> dict[str, Any]:
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
