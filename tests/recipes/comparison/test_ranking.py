"""What is best, in which order rows stand, and what is noise: on rows of numbers alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.ranking import (
    Column,
    _best,
    check_rankable,
    moment_values,
    pareto_front,
    sort_rows,
)
from unlearn_cli.recipes.comparison.verdicts import judge_rows
from unlearn_cli.report import Score


@dataclass
class Run:
    """A run with scores, as a comparison sees it."""

    name: str
    measured: dict[str, float]
    by_row: tuple[float, ...] = ()
    ci: tuple[float, float] | None = None
    n: int = 9
    status: str = "completed"
    befores: dict[str, float] = field(default_factory=dict)

    @property
    def report(self) -> Any:
        return SimpleNamespace(status=self.status)

    def score(self, metric: str) -> Score | None:
        return Score(value=self.measured[metric], n=self.n, ci=self.ci) if metric in self.measured else None

    def value(self, metric: str, moment: str = "after") -> float | None:
        return (self.measured if moment == "after" else self.befores).get(metric)

    def ids(self, split: str) -> set[str]:
        return {str(number) for number in range(len(self.by_row))}

    def values(self, metric: str, ids: list[str]) -> np.ndarray:
        return np.array([self.by_row[int(name)] for name in ids])


def row(name: str, *runs: Run) -> Row:
    return Row(name, runs)  # type: ignore[arg-type]


def rows_of(**values: float | None) -> list[Row]:
    return [row(name, Run(name, {} if value is None else {"a.m": value})) for name, value in values.items()]


NEARER = Column("a.m", "baseline", None, 0.5)


@pytest.mark.parametrize(("column", "value", "distance"), [
    (Column("a.m", "min", None, None), 0.25, 0.25),
    (Column("a.m", "max", None, None), 0.25, -0.25),
    (NEARER, 0.25, 0.25),
    (NEARER, 0.75, 0.25),
    (NEARER, None, None),
    (Column("a.m", None, None, 0.5), 0.25, None),
    (Column("a.m", "baseline", None, None), 0.25, None),
])  # fmt: skip
def test_a_better_value_has_a_smaller_distance(column: Column, value: float | None, distance: float | None) -> None:
    assert column.distance(value) == distance


def test_the_point_that_values_are_measured_from() -> None:
    assert (NEARER.aim, NEARER.side(0.4), NEARER.side(0.5), NEARER.side(0.6)) == (0.5, -1, 1, 1)
    less = Column("a.m", "min", None, 0.5)
    assert (less.aim, less.side(-1.0), Column("a.m", "baseline", None, None).aim) == (0.0, 1, 0.0)
    assert less.as_dict() == {"target": "min", "before": None, "baseline": 0.5, "best": []}


@pytest.mark.parametrize(("values", "best"), [
    ({"b": 0.25, "a": 0.25 + 1e-9, "c": 0.5}, ("a", "b")),  # equal to the digits that a table shows
    ({"b": 0.25, "a": 0.2501}, ("b",)),
    ({"b": 0.25, "a": None}, ()),  # one value is not the best of anything
    ({"b": 0.0, "a": 1e-13}, ("a", "b")),
])  # fmt: skip
def test_the_best_rows(values: dict[str, float | None], best: tuple[str, ...]) -> None:
    assert _best(rows_of(**values), Column("a.m", "min", None, None)) == best
    assert _best(rows_of(**values), Column("a.m", "min", None, None, comparable=False)) == ()


def test_a_row_that_failed_or_lacks_a_run_is_not_the_best() -> None:
    rows = [*rows_of(good=0.5, well=0.75), row("bad", Run("bad", {"a.m": 0.0}, status="collapsed")),
            row("half", Run("one", {"a.m": 0.0}), Run("two", {}))]  # fmt: skip
    column = Column("a.m", "min", None, None)
    assert _best(rows, column) == ("good",)
    order = sort_rows([rows[2], rows[3], rows[1], rows[0]], "a.m", {"a.m": column})
    assert [one.name for one in order] == ["good", "well", "half", "bad"]
    assert [one.name for one in sort_rows([rows[2], rows[1], rows[0]], None, {})] == ["well", "good", "bad"]
    assert (rows[3].value("a.m"), rows[3].complete_value("a.m"), rows[3].missing("a.m")) == (0.0, None, 1)


def test_numbers_of_several_runs() -> None:
    """Mean and standard deviation of 0.25 and 0.75; an interval is that of one run on several rows alone."""
    two = row("two", Run("a", {"a.m": 0.25}, ci=(0.0, 1.0)), Run("b", {"a.m": 0.75}))
    assert (two.value("a.m"), two.spread("a.m"), two.interval("a.m")) == (0.5, pytest.approx(0.125**0.5), None)
    (single,) = rows_of(one=0.25)
    assert single.spread("a.m") is None and single.value("a.n") is None
    assert row("c", Run("c", {"a.m": 0.25}, ci=(0.125, 0.5))).interval("a.m") == (0.125, 0.5)
    assert row("c", Run("c", {"a.m": 0.25}, ci=(0.125, 0.5), n=1)).interval("a.m") is None


def test_different_values_before() -> None:
    runs = [Run(str(n), {}, befores={"a.m": value}) for n, value in enumerate([0.5, 0.5 + 1e-9, 0.25])]
    rows = [row("x", *runs[:2]), row("y", runs[2], Run("z", {}))]
    assert moment_values(rows, "a.m", "before") == [0.5, 0.25] and moment_values(rows[:1], "a.m", "before") == [0.5]


def test_the_front_of_rows() -> None:
    """x is to fall and y to rise: c is beaten by a; d is equal to a but for a rounding error; e failed."""
    points = {"a": (0.1, 0.8), "b": (0.2, 0.9), "c": (0.15, 0.8), "d": (0.1 + 1e-12, 0.8), "e": (0.0, 1.0)}
    rows = [row(name, Run(name, {"x": x, "y": y}, status="diverged" if name == "e" else "completed"))
            for name, (x, y) in points.items()]  # fmt: skip
    x, y = Column("x", "min", None, None), Column("y", "max", None, None)
    assert pareto_front(rows, (x, y)) == {"a", "b", "d"}
    assert pareto_front(rows[:2], (x, y)) == {"a", "b"} and pareto_front(rows[:1], (x, y)) == set()
    assert pareto_front(rows, (x,)) == pareto_front(rows, (x, Column("y", "max", None, None, comparable=False))) == set()


def test_no_order_without_a_direction() -> None:
    check_rankable("--sort", NEARER)
    with pytest.raises(UnlearnError, match=r"--sort a\.m: neither more nor less of it is better"):
        check_rankable("--sort", Column("a.m", None, None, 0.5))
    with pytest.raises(UnlearnError, match="is better, and the baseline's value is not known"):
        check_rankable("--sort", Column("a.m", "baseline", None, None))


def judged(column: Column, first: Run, second: Run, baseline: Run | None = None) -> Any:
    """The verdict on the second run, the first being the best."""
    rows = [row("first", first), row("second", second), row("bad", Run("bad", {"a.m": 9.0}, status="collapsed"))]
    column = Column(column.name, column.target, None, column.baseline, best=("first",))
    verdicts = judge_rows(rows, [column, Column("a.n", "min", None, None)], baseline, 50)  # type: ignore[arg-type]
    assert set(verdicts) == {("a.m", "second")}
    return verdicts["a.m", "second"]


LESS = Column("a.m", "min", None, None)


@pytest.mark.parametrize(("column", "first", "second", "value", "words"), [
    (LESS, (0.1, (0.0, 0.2)), (0.3, (0.2, 0.4)), 0.2, "within noise (intervals overlap)"),  # they touch
    (LESS, (0.1, (0.0, 0.2)), (0.3, (0.21, 0.4)), 0.2, "larger"),
    (LESS, (0.3, (0.2, 0.4)), (0.1, (0.0, 0.19)), -0.2, "smaller"),
    (LESS, (0.1, (0.0, 0.2)), (0.3, None), 0.2, "not known"),
    (NEARER, (0.6, (0.55, 0.65)), (0.3, (0.25, 0.34)), 0.1, "farther"),  # 0.05 to 0.15 from 0.5, and 0.16 to 0.25
    (NEARER, (0.6, (0.55, 0.65)), (0.3, (0.25, 0.35)), 0.1, "within noise (intervals overlap)"),
    (NEARER, (0.3, (0.25, 0.34)), (0.6, (0.55, 0.65)), -0.1, "nearer"),
])  # fmt: skip
def test_by_intervals_where_no_row_has_a_value(column: Column, first: Any, second: Any, value: float, words: str) -> None:
    verdict = judged(column, *(Run("r", {"a.m": mean}, ci=ci) for mean, ci in (first, second)))
    assert verdict.value == pytest.approx(value) and verdict.words == words
    assert verdict.known == (words != "not known") and verdict.noise == ("noise" in words)
    assert verdict.of == ("distances to the baseline" if column is NEARER else "values")


def test_by_rows_where_they_have_values() -> None:
    """Every row says 0.25 more; one row of its own says nothing; opposite rows are no difference."""
    by_row = (0.0, 0.25, 0.5)
    best = Run("r", {"a.m": 0.25}, by_row)
    more = judged(LESS, best, Run("r", {"a.m": 0.5}, tuple(x + 0.25 for x in by_row)))
    assert (more.value, more.words, more.rows, more.ci) == (0.25, "larger", 3, (0.25, 0.25)) and not more.noise
    less = judged(LESS, best, Run("r", {"a.m": 0.0}, tuple(x - 0.25 for x in by_row)))
    assert (less.value, less.words) == (-0.25, "smaller")
    same = judged(LESS, best, Run("r", {"a.m": 0.25}, by_row[::-1]))
    assert (same.value, same.words) == (0.0, "no difference") and same.noise and same.known
    one = judged(LESS, Run("r", {"a.m": 0.0}, (0.0,)), Run("r", {"a.m": 0.5}, (0.5,)))
    assert (one.value, one.words, one.ci, one.rows) == (0.5, "not known", None, 1)


def test_distances_are_taken_from_the_baselines_own_rows() -> None:
    """Baseline rows 0.25 and 0.75: the best lies 0.125 above both, the other 0.25 below both, so 0.125 farther."""
    baseline = Run("b", {"a.m": 0.5}, (0.25, 0.75))
    best, other = Run("r", {"a.m": 0.625}, (0.375, 0.875)), Run("r", {"a.m": 0.25}, (0.0, 0.5))
    verdict = judged(NEARER, best, other, baseline)
    assert (verdict.value, verdict.ci, verdict.words) == (0.125, (0.125, 0.125), "farther")
    unmeasured = judged(NEARER, best, other, Run("b", {}, (np.nan, np.nan)))  # 0.5 for every row
    assert (unmeasured.value, unmeasured.rows) == (0.125, 2) and unmeasured.noise
    assert unmeasured.as_dict()["to_best"] == 0.125 and unmeasured.as_dict()["verdict"] == "no difference"
