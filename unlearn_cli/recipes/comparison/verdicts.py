"""Whether the difference between a row and the best row is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlearn_cli.evaluation.paired import difference
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.ranking import Column
from unlearn_cli.recipes.comparison.runs import Entry
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED

NO_DIFFERENCE, OVERLAP, UNKNOWN = "no difference", "within noise (intervals overlap)", "not known"
VALUES, DISTANCES = "values", "distances to the baseline"


@dataclass(frozen=True)
class Verdict:
    """A row's difference to the best row: of values, or of distances if nearer to the baseline is better."""

    value: float
    words: str
    ci: tuple[float, float] | None = None
    rows: int | None = None
    seeds: tuple[int, int] = (1, 1)
    of: str = VALUES

    @property
    def noise(self) -> bool:
        """Whether no difference was found."""
        return self.words in (NO_DIFFERENCE, OVERLAP)

    @property
    def known(self) -> bool:
        """Whether there is a verdict."""
        return self.words != UNKNOWN

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        numbers = {"of": self.of, "to_best": self.value, "ci": self.ci, "rows": self.rows, "seeds": self.seeds}
        return numbers | {"verdict": self.words}


Verdicts = dict[tuple[str, str], Verdict]  # (metric, name of the row)


def judge_rows(rows: Sequence[Row], columns: Sequence[Column], baseline: Entry | None, samples: int) -> Verdicts:
    """Verdicts on rows that are not the best. Failed rows and rows without a value have none.

    Args:
        rows: the rows.
        columns: the metrics with their best rows.
        baseline: the evaluation given as baseline.
        samples: bootstrap resamples.
    """
    by_name, verdicts = {row.name: row for row in rows}, {}
    for column in columns:
        if not column.best:
            continue
        best = by_name[column.best[0]]
        split = column.name.partition(".")[0]
        ids = sorted(set().union(*(entry.ids(split) for entry in best.entries)))
        aims = _aims(column, baseline, ids)
        for row in rows:
            if not row.failed and row.name not in column.best and row.value(column.name) is not None:
                verdicts[column.name, row.name] = _verdict(row, best, column, ids, aims, samples)
    return verdicts


def _aims(column: Column, baseline: Entry | None, ids: Sequence[str]) -> np.ndarray:
    """[R] the point from which each row's value is measured: the baseline's value of that row, else the metric's aim.

    Some questions are harder for all models. The baseline's value of the same question removes this difference.
    """
    if column.target == "baseline" and baseline is not None:
        values = baseline.values(column.name, ids)
        if np.isfinite(values).any():
            return values
    return np.full(len(ids), column.aim)


def _verdict(row: Row, best: Row, column: Column, ids: Sequence[str], aims: np.ndarray, samples: int) -> Verdict:
    """The verdict on a row, by the values of rows if there are any, else by the intervals of the scores.

    Values are measured from the aim, with a sign that makes larger values farther from it.
    """
    metric, pair = column.name, (row, best)
    nearer, farther, of = ("nearer", "farther", DISTANCES) if column.target == "baseline" else ("smaller", "larger", VALUES)
    means = [_mean(each, metric) for each in pair]
    signs = [column.side(mean) for mean in means]
    value = signs[0] * (means[0] - column.aim) - signs[1] * (means[1] - column.aim)
    if row.missing(metric):
        return Verdict(value, UNKNOWN, of=of)
    if ids:
        one, other = (sign * (each.row_values(metric, ids) - aims) for each, sign in zip(pair, signs, strict=True))
        paired = difference(one, other, samples=samples, seed=BOOTSTRAP_SEED)
        if paired is not None:
            direction = farther if paired.value > 0 else nearer
            words = UNKNOWN if paired.ci is None else NO_DIFFERENCE if paired.noise else direction
            return Verdict(paired.value, words, paired.ci, paired.rows, paired.seeds, of)
    intervals = [interval for each in pair if (interval := each.interval(metric)) is not None]
    if len(intervals) < 2:
        return Verdict(value, UNKNOWN, of=of)
    (low, high), (best_low, best_high) = (
        sorted(sign * (end - column.aim) for end in interval) for interval, sign in zip(intervals, signs, strict=True)
    )
    overlap = low <= best_high and best_low <= high
    return Verdict(value, OVERLAP if overlap else farther if value > 0 else nearer, of=of)


def _mean(row: Row, metric: str) -> float:
    value = row.value(metric)
    assert value is not None  # the best row has one, and rows without are not judged
    return value
