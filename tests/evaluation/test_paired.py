"""Differences of runs and the front, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unlearn_cli.evaluation.paired import difference, front

DRAW = {"samples": 500, "seed": 0}


def test_a_difference_is_taken_row_by_row() -> None:
    """Rows differ among themselves by far more than the runs do: paired, every row says 0.1."""
    rows = np.linspace(0, 1, 50)
    result = difference(rows + 0.1, rows, **DRAW)
    assert result.value == pytest.approx(0.1) and result.ci == pytest.approx((0.1, 0.1)) and not result.noise


def test_noise_is_called_noise() -> None:
    draw = np.random.default_rng(0)
    rows = draw.random(200)
    result = difference(rows + draw.normal(0, 0.2, 200), rows, **DRAW)
    assert result.noise and result.rows == 200


def test_rows_that_one_run_lacks_are_left_out() -> None:
    result = difference(np.array([1.0, np.nan, 3.0]), np.array([0.0, 5.0, np.nan]), **DRAW)
    assert (result.value, result.rows) == (1.0, 1)
    assert result.ci is None and not result.noise  # one row says nothing of others
    assert difference(np.array([np.nan]), np.array([1.0]), **DRAW) is None


def test_swapped_rows_are_another_comparison() -> None:
    """The same values in another order have the same mean difference and a wider interval."""
    rows = np.linspace(0, 1, 50)
    honest, swapped = difference(rows + 0.1, rows, **DRAW), difference((rows + 0.1)[::-1], rows, **DRAW)
    assert honest.value == pytest.approx(swapped.value) and swapped.noise


@pytest.mark.parametrize("wrong", [False, True])
def test_intervals_cover_the_truth(wrong: bool) -> None:
    """95 of a hundred, about; a planted shift of three standard errors is outside in most."""
    draw, covered = np.random.default_rng(1), 0
    for _ in range(100):
        one = draw.normal(0, 1, 60)
        result = difference(one, np.zeros(60), **DRAW)
        truth = 3 / 60**0.5 if wrong else 0.0
        covered += result.ci[0] <= truth <= result.ci[1]
    assert covered < 40 if wrong else covered >= 88


def by_chance(rows: int, seeds: int = 1, trials: int = 500) -> float:
    """Share of trials in which two configurations are called different whose rows differ by normal noise alone."""
    draw = np.random.default_rng(rows)
    results = (
        difference(draw.normal(0, 1, (seeds, rows)), np.zeros((seeds, rows)), samples=200, seed=0) for _ in range(trials)
    )
    return sum(not one.noise for one in results) / trials


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 20, 50])
def test_few_rows_are_not_called_a_difference_too_often(rows) -> None:
    """About 5 % each; plain percentiles call 49, 27, 16, 11, 8 and 7 % different."""
    assert 0.02 <= by_chance(rows) <= 0.08


def test_few_rows_of_several_seeds() -> None:
    assert by_chance(3, seeds=2) <= 0.08


def test_few_rows_by_hand() -> None:
    """0.1 and 0.3: resampled means are 0.1 to 0.3, so 0.2 +- 0.1 * sqrt(2 / 1) * 12.7062 / 1.96 (t and z)"""
    half = 0.1 * 2**0.5 * 12.706205 / 1.959964
    assert difference(np.array([0.1, 0.3]), np.zeros(2), **DRAW).ci == pytest.approx((0.2 - half, 0.2 + half))


def called_different(seeds: tuple[int, int], *, apart: float = 0.0, trials: int = 300) -> float:
    """Share of trials in which two configurations of 200 rows differ by the interval; seeds move a run by 0.1."""
    draw, different = np.random.default_rng(2), 0
    for _ in range(trials):
        rows = draw.normal(0.5, 0.3, 200)
        one, other = (rows + draw.normal(0, 0.1, (n, 1)) + draw.normal(0, 0.05, (n, 200)) for n in seeds)
        different += not difference(one + apart, other, samples=200, seed=0).noise
    return different / trials


@pytest.mark.parametrize(
    ("seeds", "at_most"), [((2, 2), 0.07), ((3, 3), 0.07), ((2, 3), 0.08), ((1, 2), 0.14), ((1, 3), 0.1)]
)
def test_noise_of_seeds_is_not_called_a_difference(seeds, at_most) -> None:
    assert called_different(seeds) <= at_most


def test_a_difference_beyond_the_seeds_is_found() -> None:
    assert called_different((3, 3), apart=0.6, trials=50) > 0.9


def test_one_run_against_one_knows_nothing_of_seeds() -> None:
    """What the guide warns of: two seeds of one configuration are different runs, and are called different."""
    assert called_different((1, 1), trials=100) > 0.8


def test_seeds_by_hand() -> None:
    """Rows say 0.1 +- 0, seeds 0 and 0.2 against 0: the t-interval of s^2 / 2 = 0.01 with one degree of freedom."""
    one = np.array([np.zeros(50), np.full(50, 0.2)])
    result = difference(one, np.zeros((2, 50)), **DRAW)
    assert result.value == pytest.approx(0.1) and result.seeds == (2, 2)
    assert result.ci == pytest.approx((0.1 - 12.7062 * 0.1, 0.1 + 12.7062 * 0.1), rel=1e-3)


def test_front() -> None:
    """(forget, retain): less is better, more is better. The third is beaten by the first; the fourth has no value."""
    points = [(0.1, 0.9), (0.2, 0.95), (0.15, 0.9), (None, 1.0), (0.1, 0.9)]
    assert front(points, ("min", "max")) == [True, True, False, False, True]
    assert front([], ("min", "max")) == []
