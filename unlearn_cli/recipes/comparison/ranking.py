"""The metrics of a comparison with their best rows, the order of the rows, and the Pareto front."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose
from typing import Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.paired import front
from unlearn_cli.recipes.comparison.comparability import Comparability
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry


@dataclass(frozen=True)
class Column:
    """One metric of a comparison."""

    name: str  # SPLIT.METRIC
    target: str | None
    before: float | None  # value of the model before unlearning, if it is the same for all runs
    baseline: float | None
    comparable: bool = True  # its runs have one protocol
    best: tuple[str, ...] = ()  # names of rows; several if they are equal

    @property
    def aim(self) -> float:
        """The point from which values are measured: the baseline if nearer to it is better, else 0."""
        return self.baseline if self.target == "baseline" and self.baseline is not None else 0.0

    def distance(self, value: float | None) -> float | None:
        """A number that is smaller for a better value; None without a value, or if no direction is better."""
        if value is None or self.target is None or (self.target == "baseline" and self.baseline is None):
            return None
        return {"min": value, "max": -value}.get(self.target, abs(value - self.aim))

    def side(self, value: float) -> float:
        """-1 below a baseline that is the aim, else 1. A value times this number is larger if it is farther from the aim."""
        return -1.0 if self.target == "baseline" and value < self.aim else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"target": self.target, "before": self.before, "baseline": self.baseline, "best": list(self.best)}


def rank_columns(
    rows: Sequence[Row],
    names: Sequence[str],
    baseline: Entry | None,
    comparability: Comparability,
    splits: Collection[str],
) -> dict[str, Column]:
    """The metrics with their direction, the baseline's value, and the best rows."""
    ranked = {}
    for name in names:
        split = name.partition(".")[0]
        target = next((score.target for row in rows for score in row.scores(name)), None)
        comparable = comparability.comparable(split, splits)
        if name == RELEARNING:
            comparable = comparability.attack_difference is None
        befores = moment_values(rows, name, "before") if comparable else []
        value = None
        if comparable and split not in comparability.baseline_differing:
            value = _baseline_value(rows, name, baseline)
        column = Column(name, target, befores[0] if len(befores) == 1 else None, value, comparable)
        ranked[name] = replace(column, best=_best(rows, column))
    return ranked


def moment_values(rows: Sequence[Row], name: str, moment: str) -> list[float]:
    """The distinct values of the runs for the model before unlearning, or for their baseline."""
    values: list[float] = []
    for value in (entry.value(name, moment) for row in rows for entry in row.entries):
        if value is not None and not any(_equal(value, earlier) for earlier in values):
            values.append(value)
    return values


def _baseline_value(rows: Sequence[Row], name: str, baseline: Entry | None) -> float | None:
    """The score of --baseline; without it, the value of the runs' own baselines if they agree."""
    value = baseline.value(name) if baseline else None
    values = moment_values(rows, name, "baseline") if value is None else [value]
    return values[0] if len(values) == 1 else None


def _equal(a: float, b: float) -> bool:
    """Whether two values are equal in the digits that a table shows."""
    return isclose(a, b, rel_tol=1e-5, abs_tol=1e-12)


def _best(rows: Sequence[Row], column: Column) -> tuple[str, ...]:
    """Names of the best rows in alphabetical order, so that the order of the runs does not matter."""
    distances = [(column.distance(row.complete_value(column.name)), row.name) for row in rows if not row.failed]
    ranked = [(distance, name) for distance, name in distances if distance is not None]
    if len(ranked) < 2 or not column.comparable:
        return ()
    smallest = min(distance for distance, _ in ranked)
    return tuple(sorted(name for distance, name in ranked if _equal(distance, smallest)))


def sort_rows(rows: list[Row], name: str | None, ranked: Mapping[str, Column]) -> list[Row]:
    """The rows, best first if a metric is named. Rows with failed runs or without a value come last.

    Raises:
        UnlearnError: rows cannot be ranked by the metric, see `check_rankable`.
    """
    if name is None:
        return sorted(rows, key=lambda row: row.failed)
    check_rankable("--sort", ranked[name])
    distances = {row.name: ranked[name].distance(row.complete_value(name)) for row in rows}
    return sorted(rows, key=lambda row: (row.failed, distances[row.name] is None, distances[row.name] or 0.0))


def pareto_front(rows: Sequence[Row], pair: Sequence[Column]) -> set[str]:
    """Names of the rows that no other row beats in both metrics; none without two metrics that can be ranked.

    Failed rows are left out.
    """
    rows = [row for row in rows if not row.failed]
    if len(rows) < 2 or len(pair) != 2 or not all(column.comparable for column in pair):
        return set()
    x, y = ([_rounded(column.distance(row.complete_value(column.name))) for row in rows] for column in pair)
    on_front = front(list(zip(x, y, strict=True)), ("min", "min"))
    return {row.name for row, on in zip(rows, on_front, strict=True) if on}


def _rounded(value: float | None) -> float | None:
    """A value with six digits, so that rounding errors of a mean put no run on the front."""
    return None if value is None else float(f"{value:.6g}")


def check_rankable(flag: str, column: Column) -> None:
    """Check that rows can be ranked by a metric.

    Raises:
        UnlearnError: no direction is better, or the baseline that is the aim has no value.
    """
    if column.target is None:
        raise UnlearnError(f"{flag} {column.name}: neither more nor less of it is better", "choose a metric with an arrow")
    if column.target == "baseline" and column.baseline is None:
        raise UnlearnError(
            f"{flag} {column.name}: nearer to the baseline is better, and the baseline's value is not known",
            "--baseline DIR, an evaluation of a model that never saw the forget rows",
        )
