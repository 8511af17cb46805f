"""Which runs are best by each metric, which are within noise of them, and which no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any

import numpy as np

from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.paired import difference, front
from unlearn_cli.recipes.comparison.comparability import Alike
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED
from unlearn_cli.rendering.cells import listed
from unlearn_cli.rendering.tables import digits

NO_DIFFERENCE, OVERLAP, UNKNOWN = "no difference", "within noise (intervals overlap)", "not known"
FORGET_PROBABILITY = "forget.probability"
VALUES, DISTANCES = "values", "distances to the baseline"


@dataclass(frozen=True)
class Column:
    """One metric of a comparison."""

    name: str  # SPLIT.METRIC
    target: str | None
    baseline: float | None
    comparable: bool = True  # its runs were measured alike
    best: tuple[str, ...] = ()  # names of rows; several if they are equal

    def distance(self, value: float | None) -> float | None:
        """What is better is less; None without a value or a way that is better."""
        if value is None or self.target is None or (self.target == "baseline" and self.baseline is None):
            return None
        return {"min": value, "max": -value}.get(self.target, abs(value - (self.baseline or 0.0)))

    @property
    def aim(self) -> float:
        """What values are taken from: the baseline, where better is nearer to it."""
        return self.baseline if self.target == "baseline" else 0.0

    def side(self, value: float) -> float:
        """-1 below a baseline that is the aim, else 1: times this, a larger value is farther from the aim."""
        return -1.0 if self.target == "baseline" and value < self.baseline else 1.0

    def described(self) -> dict[str, Any]:
        """Plain values."""
        return {"target": self.target, "baseline": self.baseline, "best": list(self.best)}


@dataclass(frozen=True)
class Verdict:
    """What is known of a row's difference to the best: of values, or of distances where better is nearer to the baseline."""

    value: float
    words: str
    ci: tuple[float, float] | None = None
    rows: int | None = None
    seeds: tuple[int, int] = (1, 1)
    of: str = VALUES

    @property
    def noise(self) -> bool:
        """No difference was found."""
        return self.words in (NO_DIFFERENCE, OVERLAP)

    @property
    def known(self) -> bool:
        """Whether it could be judged."""
        return self.words != UNKNOWN

    def described(self) -> dict[str, Any]:
        """Plain values."""
        told = {"of": self.of, "to_best": self.value, "ci": self.ci, "rows": self.rows, "seeds": self.seeds}
        return told | {"verdict": self.words}


@dataclass(frozen=True)
class Found:
    """What the comparison found."""

    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)  # (metric, row) against the best
    front: set[str] = field(default_factory=set)

    def described(self, metric: str, row: str) -> dict[str, Any] | None:
        """A difference to the best in plain values."""
        found = self.verdicts.get((metric, row))
        return None if found is None else found.described()


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared, and what was found."""

    entries: list[Entry]  # as they were given
    rows: list[Row]  # as they are shown
    columns: list[Column]
    found: Found
    keys: list[str]  # settings that differ
    pair: tuple[str, ...]  # the front's metrics; none if there is no front
    alike: Alike
    baseline: Entry | None


def columns(
    rows: Sequence[Row], names: Sequence[str], baseline: Entry | None, alike: Alike, splits: Sequence[str]
) -> dict[str, Column]:
    """The metrics with their direction, the baseline's value, and the best rows."""
    made = {}
    for name in names:
        split = name.partition(".")[0]
        scores = [score for row in rows for score in row.scores(name)]
        target = next((score.target for score in scores), None)
        comparable = alike.attacks is None if name == RELEARNING else alike.comparable(split, splits)
        known = None if not comparable or split in alike.baseline_unlike else _aim(rows, name, baseline)
        column = Column(name, target, known, comparable)
        made[name] = Column(name, target, known, comparable, _best(rows, column))
    return made


def baselines(rows: Sequence[Row], name: str) -> list[float]:
    """The different values that the runs' own evaluations have for the baseline."""
    made: list[float] = []
    for score in (entry.score(name, "baseline") for row in rows for entry in row.entries):
        if score is not None and not any(_equal(score.value, value) for value in made):
            made.append(score.value)
    return made


def _aim(rows: Sequence[Row], name: str, baseline: Entry | None) -> float | None:
    held = baseline.score(name) if baseline else None
    if held is not None:
        return held.value
    own = baselines(rows, name)
    return own[0] if len(own) == 1 else None


def _equal(a: float, b: float) -> bool:
    """Equal to the digits that a table shows."""
    return isclose(a, b, rel_tol=1e-5, abs_tol=1e-12)


def _best(rows: Sequence[Row], column: Column) -> tuple[str, ...]:
    judgeable = [row for row in rows if not row.failed]
    held = [(far, row) for row in judgeable if (far := column.distance(row.whole(column.name))) is not None]
    if len(held) < 2 or not column.comparable:
        return ()
    least = min(far for far, _ in held)
    # By name among equals, so that the order of the runs does not matter.
    return tuple(sorted(row.name for far, row in held if _equal(far, least)))


def judged(
    rows: Sequence[Row], made: Sequence[Column], baseline: Entry | None, samples: int
) -> dict[tuple[str, str], Verdict]:
    """Differences of the rows to the best, by metric and row."""
    by_name, found = {row.name: row for row in rows}, {}
    for column in made:
        if not column.best:
            continue
        best = by_name[column.best[0]]
        split = column.name.partition(".")[0]
        ids = sorted(set().union(*(entry.ids(split) for entry in best.entries)))
        for row in rows:
            if not row.failed and row.name not in column.best and row.value(column.name) is not None:
                found[column.name, row.name] = _verdict(row, best, column, ids, _aims(column, baseline, ids), samples)
    return found


def _aims(column: Column, baseline: Entry | None, ids: Sequence[str]) -> np.ndarray:
    """[R] where each row should be: at the baseline's own value of it, or where those are not kept at its score.

    Questions differ in difficulty for all models alike: paired with the baseline's rows, that leaves the difference.
    """
    if column.target != "baseline":
        return np.zeros(len(ids))
    own = baseline.values(column.name, ids) if baseline else np.array([])
    return own if np.isfinite(own).any() else np.full(len(ids), column.baseline)


def _verdict(row: Row, best: Row, column: Column, ids: Sequence[str], aims: np.ndarray, samples: int) -> Verdict:
    """By the rows where they have values, else by the scores' own intervals.

    Values are taken from where the metric should be, and on the side of it where their mean lies: what is larger is farther.
    """
    metric, aim = column.name, column.aim
    near, far, of = ("nearer", "farther", DISTANCES) if column.target == "baseline" else ("smaller", "larger", VALUES)
    signs = [column.side(one.value(metric)) for one in (row, best)]
    value = signs[0] * (row.value(metric) - aim) - signs[1] * (best.value(metric) - aim)
    if row.missing(metric):
        return Verdict(value, UNKNOWN, of=of)
    held = [sign * (one.rows(metric, ids) - aims) for one, sign in zip((row, best), signs, strict=True)] if ids else []
    made = difference(*held, samples=samples, seed=BOOTSTRAP_SEED) if held else None
    if made is not None:
        words = UNKNOWN if made.ci is None else NO_DIFFERENCE if made.noise else far if made.value > 0 else near
        return Verdict(made.value, words, made.ci, made.rows, made.seeds, of)
    if row.interval(metric) is None or best.interval(metric) is None:
        return Verdict(value, UNKNOWN, of=of)
    one, other = (
        sorted(sign * (end - aim) for end in each.interval(metric)) for each, sign in zip((row, best), signs, strict=True)
    )
    overlap = one[0] <= other[1] and other[0] <= one[1]
    return Verdict(value, OVERLAP if overlap else far if value > 0 else near, of=of)


def on_front(rows: Sequence[Row], pair: Sequence[Column]) -> set[str]:
    """Names of the rows that no other beats in both metrics; none where one of them cannot be judged.

    Rows that did not end well are neither on the front nor beat others.
    """
    rows = [row for row in rows if not row.failed]
    if len(rows) < 2 or not all(column.comparable for column in pair):
        return set()
    points = [tuple(_rounded(column.distance(row.whole(column.name))) for column in pair) for row in rows]
    return {row.name for row, on in zip(rows, front(points, ("min", "min")), strict=True) if on}


def _rounded(value: float | None) -> float | None:
    """A value to the digits by which runs are equal: the last bits of a mean put none on the front."""
    return None if value is None else float(f"{value:.6g}")


def check_judgeable(flag: str, column: Column) -> None:
    """See that a metric can be ranked by.

    Raises:
        UnlearnError: neither way of it is better, or the better way is towards a baseline that is not known.
    """
    if column.target is None:
        raise UnlearnError(f"{flag} {column.name}: neither less nor more of it is better", "choose a metric with an arrow")
    if column.target == "baseline" and column.baseline is None:
        raise UnlearnError(
            f"{flag} {column.name}: better is nearer to the baseline, and its value is not known",
            "--baseline DIR, an evaluation of a model that never saw the forget rows",
        )


def over_forgotten(made: Comparison) -> tuple[list[str] | None, list[str]]:
    """Names of the rows below the baseline's interval, and a sentence that says so.

    The names are None where that is not known: the metric is not shown, or the baseline or its interval is not known.
    """
    column = next(
        (column for column in made.columns if column.name == FORGET_PROBABILITY and column.baseline is not None), None
    )
    if column is None:
        return None, []
    own = (entry.score(FORGET_PROBABILITY, "baseline") for entry in made.entries)
    known = made.baseline.score(FORGET_PROBABILITY) if made.baseline else next(filter(None, own), None)
    if known is None or known.ci is None or known.n == 1:  # the interval of one row is a point
        return None, []
    low, held = known.ci[0], [(row.name, row.value(FORGET_PROBABILITY)) for row in made.rows]
    names = [name for name, value in held if value is not None and value < low]
    said = f"Over-forgotten, {FORGET_PROBABILITY} below the baseline's interval (from {digits(low)}): {listed(names)}."
    return names, [said] if names else []
