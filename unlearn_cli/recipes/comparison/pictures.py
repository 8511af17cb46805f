"""The pictures of a comparison, from the runs' reports, measurements and losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._truth import log_ratio
from unlearn_cli.recipes.comparison.result import Comparison
from unlearn_cli.recipes.comparison.runs import Entry
from unlearn_cli.recipes.comparison.settings import settings
from unlearn_cli.rendering import figures
from unlearn_cli.rendering.attacks import worst_curves
from unlearn_cli.rendering.front import FrontPicture, RunPoint, front_figure, front_picture
from unlearn_cli.rendering.svg import Figure, Series

MAX_ROWS = 8  # rows in a picture of lines, because there are eight colors
# The name of each loss, and the setting that decides its unit.
LOSSES = {"forget_loss": ("forget loss", "method"), "retain_loss": ("retain loss", "retain_term")}


Number = Annotated[float, Field(ge=-1e100, le=1e100)]


class Probe(BaseModel):
    """What is drawn of a look at a few rows."""

    forget: Number | None = None
    retain: Number | None = None
    worst: Number | None = None


class StepLine(BaseModel):
    """What is drawn of a line of metrics.jsonl."""

    step: Number
    loss: Number | None = None
    forget_loss: Number | None = None
    retain_loss: Number | None = None
    learning_rate: Number | None = None
    retain_weight: Number | None = None
    probe: Probe | None = None
    decision: str | None = None


class Line(NamedTuple):
    """A run that is drawn as a line."""

    number: int  # of its row in the table
    name: str  # of its row
    entry: Entry


def picture_of_front(comparison: Comparison) -> FrontPicture | None:
    """Every row that has both metrics of the front; None if no row has."""
    points = []
    for number, row in enumerate(comparison.rows):
        values = [value for name in comparison.front_metrics if (value := row.value(name)) is not None]
        if len(values) == 2:
            x, y = values
            points.append(RunPoint(number, row.name, x, y, row.name in comparison.front, row.failed))
    return front_picture(points, comparison.front_metrics)


def page_figures(comparison: Comparison, *, allow_different: bool) -> Iterator[Figure]:
    """All pictures of the page. None shows runs with different protocols side by side.

    Args:
        comparison: the result.
        allow_different: draw attacks that differ.
    """
    lines = [Line(number, row.name, entry) for number, row in enumerate(comparison.rows[:MAX_ROWS]) for entry in row.entries]
    comparability = comparison.comparability
    splits = {split for line in lines for report in line.entry.reports for split in report.data}
    drawn: list[Figure | None] = []
    if all(comparability.comparable(name.partition(".")[0], splits) for name in comparison.front_metrics):
        picture = picture_of_front(comparison)
        # One point shows no trade-off, and its two numbers are in the table.
        drawn.append(front_figure(picture) if picture and len(picture.series) > 1 else None)
    if not comparability.attack_difference or allow_different:
        drawn.append(_relearning(lines))
    if "forget" not in comparability.differing:
        runs = [(line.name, line.number, _ratios(line.entry, "after")) for line in lines]
        drawn.append(figures.truth(runs, _baseline_ratios(comparison, lines)))
        drawn.append(figures.trajectories([Series(line.name, _trajectory(line.entry), line.number) for line in lines]))
    steps = [_steps(line.entry) for line in lines]
    for line, records in zip(lines, steps, strict=True):
        if (target := line.entry.report.target) is not None:
            drawn.append(figures.pursuit(line.entry.name, records, target.level, target.keep))
    for key, (kind, unit) in LOSSES.items():
        series = [
            Series(line.name, [(s["step"], s[key]) for s in records if s.get(key) is not None], line.number)
            for line, records in zip(lines, steps, strict=True)
        ]
        same_unit = len({settings(line.entry).get(unit) for line in lines}) == 1
        drawn.append(figures.losses(kind, series, same_unit=same_unit))
    return filter(None, drawn)


def _steps(entry: Entry) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl. A line that no run of ours would write is left out."""
    path, lines = entry.folder / "metrics.jsonl", []
    for line in read_complete_jsonl(path) if path.is_file() else []:
        with suppress(ValidationError):
            lines.append(StepLine.model_validate(line).model_dump(exclude_none=True))
    return lines


def _trajectory(entry: Entry) -> list[tuple[float, float]]:
    """Forget probability by step, from before the first step to after the last; empty if nothing was measured between."""
    training = entry.report.training
    if not training or not training.trajectory:
        return []
    between = [(float(point.step), point.scores.get("forget", {}).get("probability")) for point in training.trajectory]
    before, after = (entry.value("forget.probability", moment) for moment in ("before", "after"))
    points = [(0.0, before), *between, (float(training.steps), after)]
    return [(step, value) for step, value in points if value is not None]


def _relearning(lines: Sequence[Line]) -> Figure | None:
    attacks = [(line, line.entry.attack) for line in lines if line.entry.attack]
    if not attacks:
        return None
    curves = [(line, worst_curves(report)) for line, report in attacks]
    series = [Series(line.name, figures.curve(by_role["unlearned"]), line.number) for line, by_role in curves]
    baseline = next((points for _, by_role in curves if (points := figures.curve(by_role["baseline"]))), [])
    report = attacks[0][1]
    return figures.relearning(
        [*series, Series("baseline", baseline, None)],
        f"Fine-tuning on {report.attacker_rows} rows, judged by {report.judged_rows} forget rows that were not among them, "
        "at the attack's worst setting.",
    )


def measured_forget_rows(entry: Entry, moment: str) -> Measured | None:
    """Measurements of the forget rows, if the shown scores are from them; else None."""
    # `unlearn evaluate RUN` measures into the run's folder.
    return None if "forget" in entry.remeasured else load_measured(entry.folder / "measured", f"{moment}-forget")


def _ratios(entry: Entry, moment: str) -> np.ndarray:
    measured = measured_forget_rows(entry, moment)
    return np.array([]) if measured is None else log_ratio(measured)


def _baseline_ratios(comparison: Comparison, lines: Sequence[Line]) -> np.ndarray:
    """Ratios of --baseline, if its protocol is that of the runs; without --baseline, of the first run that measured one."""
    if comparison.baseline:
        differs = "forget" in comparison.comparability.baseline_differing
        return np.array([]) if differs else _ratios(comparison.baseline, "after")
    ratios = (_ratios(line.entry, "baseline") for line in lines)
    return next((values for values in ratios if len(values)), np.array([]))
