"""The interval of a mean over few rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from unlearn_cli.evaluation.interval import MANY, expanded, t_975
from unlearn_cli.evaluation.recovery import recovery
from unlearn_cli.evaluation.score import bootstrap

TRIALS = 500


@pytest.mark.parametrize("rows", [3, 5, 8, 10, 20, 50])
def test_it_holds_the_truth_in_95_percent(rows: int) -> None:
    """Normal noise. Plain percentiles hold it in 74, 85, 88, 91, 92 and 94 % (2,000 trials, 500 samples)."""
    draw = np.random.default_rng(rows)
    intervals = [bootstrap(draw.normal(3.0, 1.0, rows), 200, 0) for _ in range(TRIALS)]
    assert 0.92 <= np.mean([low <= 3.0 <= high for low, high in intervals]) <= 0.98


def test_recovery_holds_the_truth_as_often() -> None:
    """Five rows at 0.3 on average, where the original has 0.9 and the baseline 0.1: (0.3 - 0.1) / 0.8."""
    draw, ends = np.random.default_rng(0), (np.full(5, 0.9), np.full(5, 0.1), np.full(5, 0.1))
    intervals = [recovery(draw.normal(0.3, 0.05, 5), *ends, samples=200, seed=0).ci for _ in range(TRIALS)]
    assert 0.92 <= np.mean([low <= 0.25 <= high for low, high in intervals]) <= 0.98


def test_two_rows_by_hand() -> None:
    """0.4 and 0.6: resampled means are 0.4 to 0.6, so 0.5 +- 0.1 * sqrt(2 / 1) * 12.7062 / 1.96 (t and z).
    Within bounds of 0 and 1 it is all there is."""
    half = 0.1 * 2**0.5 * 12.706205 / 1.959964
    values = np.array([0.4, 0.6])
    assert bootstrap(values, 200, 0) == pytest.approx((0.5 - half, 0.5 + half))
    assert bootstrap(values, 200, 0, (0.0, 1.0)) == (0.0, 1.0) and bootstrap(values, 200, 0, (0.0, None))[1] > 1


def test_one_row_has_none() -> None:
    assert bootstrap(np.array([0.29]), 200, 0) is None
    one = recovery(np.array([0.5]), np.array([0.9]), np.array([0.1]), np.array([0.1]), samples=200, seed=0)
    assert one.value == pytest.approx(0.5) and one.ci is None


def test_rows_that_are_equal_have_a_point() -> None:
    assert expanded(np.full(9, 0.5), 0.5, 4) == (0.5, 0.5)


@pytest.mark.parametrize("freedom", [1.0, 2.5, 30, MANY - 0.01, MANY, 150, 1e5])
def test_the_quantile_is_that_of_students_t(freedom) -> None:
    assert t_975(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=3e-4)
