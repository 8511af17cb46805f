"""Normalized recovery, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.evaluation.recovery import area, first_at, of_rows, recovery
from unlearn_cli.measured import joined

DRAW = {"samples": 200, "seed": 0}


def rows(*values: float) -> np.ndarray:
    return np.array(values)


def test_recovery_by_hand() -> None:
    """U 0.5 after, T 0.9, O 0.1 after and 0.1 before: (0.5 - 0.1) / (0.9 - 0.1) = 0.5; the baseline gains nothing.

    Resampled it is 0.375 to 0.625, so of two rows 0.5 +- 0.125 * sqrt(2 / 1) * 12.7062 / 1.96, and never below 0.
    """
    recovered = recovery(rows(0.4, 0.6), rows(0.9, 0.9), rows(0.1, 0.1), rows(0.1, 0.1), **DRAW)
    assert recovered.value == pytest.approx(0.5)
    assert recovered.gain == 0.0
    assert recovered.ci == pytest.approx((0.0, 0.5 + 0.125 * 2**0.5 * 12.706205 / 1.959964))


def test_what_the_never_trained_gain_is_taken_off() -> None:
    """O gains 0.2 by the attack: (0.5 - 0.3) / (0.9 - 0.1) = 0.25, and its gain is 0.2 / 0.8."""
    recovered = recovery(rows(0.5), rows(0.9), rows(0.3), rows(0.1), **DRAW)
    assert (recovered.value, recovered.gain) == (pytest.approx(0.25), pytest.approx(0.25))


def test_below_the_never_trained_is_nothing() -> None:
    assert recovery(rows(0.05), rows(0.9), rows(0.1), rows(0.1), **DRAW).value == 0.0


def test_without_a_baseline_it_is_a_bound() -> None:
    """U 0.8, T 0.9, floor 0: 8/9; any O above 0, which may gain by the attack, gives less: (0.8 - 0.4) / (0.9 - 0.2)."""
    bound = recovery(rows(0.8), rows(0.9), rows(0.0), rows(0.0), **DRAW).value
    assert bound == pytest.approx(8 / 9)
    for after, before in ((0.1, 0.1), (0.4, 0.2), (0.7, 0.7)):
        assert recovery(rows(0.8), rows(0.9), rows(after), rows(before), **DRAW).value < bound


def test_without_a_least_score_there_is_no_bound() -> None:
    assert recovery(rows(0.8), rows(0.9), rows(-np.inf), rows(-np.inf), **DRAW).value is None


def test_rows_without_a_value_are_left_out_everywhere() -> None:
    recovered = recovery(rows(0.5, np.nan, 0.9), rows(0.9, 0.9, np.nan), rows(0.1, 0.1, 0.1), rows(0.1, 0.1, 0.1), **DRAW)
    assert recovered.value == pytest.approx(0.5)


@pytest.mark.parametrize("untouched", [rows(0.1), rows(np.nan)])
@pytest.mark.parametrize("attacked", [rows(0.5), rows(0.05)])
def test_nothing_was_known_in_the_first_place(attacked: np.ndarray, untouched: np.ndarray) -> None:
    """T equals O: there is nothing to recover, and no number, on whichever side of O the attacked model lies."""
    recovered = recovery(attacked, untouched, rows(0.1), rows(0.1), **DRAW)
    assert recovered.value is None and recovered.ci is None


def test_recovery_of_each_row() -> None:
    """(0.5 - 0.1) / 0.8; all of it; below the baseline; known by 0.1 beside 0.725 on average; without a value."""
    original = rows(0.9, 0.9, 0.9, 0.2, 0.9)
    result = of_rows(rows(0.5, 0.9, 0.0, 0.2, np.nan), original, np.full(5, 0.1), np.full(5, 0.1))
    assert result == pytest.approx([0.5, 1.0, 0.0, np.nan, np.nan], nan_ok=True)
    assert np.isnan(of_rows(original, original, original, original)).all()
    assert np.isnan(of_rows(original, original, np.full(5, -np.inf), np.full(5, -np.inf))).all()


def test_area_of_a_curve() -> None:
    """0 to 1 over the first ten steps, then level for ten: (5 + 10) / 20; in any order of the places."""
    assert area([0, 10, 20], [0.0, 1.0, 1.0]) == pytest.approx(0.75)
    assert area([20, 0, 10], [1.0, 0.0, 1.0]) == pytest.approx(0.75)
    assert area(["role", "prefix"], [0.1, 0.2]) is None and area([5], [1.0]) is None


def test_steps_to_half() -> None:
    assert first_at([0, 5, 15], [0.1, 0.5, 0.9], 0.5) == 5
    assert first_at([0, 5], [0.1, 0.2], 0.5) is None


def test_joined_measurements() -> None:
    one, two = measured([[-1.0, -2.0], [-3.0]]), measured([[-4.0, -5.0, -6.0]])
    together = joined([one, two])
    assert together.lengths.tolist() == [2, 1, 3] and together.rows == 3 and together.rows_in_split == 3
    assert together.mean_logps.tolist() == [-1.5, -3.0, -5.0]
    assert together.perturbed_logps is None
