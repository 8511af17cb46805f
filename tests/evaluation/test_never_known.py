"""The level of never having known: hand-worked means and quantiles, and which source is preferred."""

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.evaluation.never_known import (
    NeverKnown,
    holdout_level,
    larger_of,
    level_of,
    likeliest_row,
    wrong_answers_level,
)

FORGET = replace(measured([[-0.1, -0.1], [-0.2]]), perturbed_logps=np.log([[0.2, 0.4], [0.6, np.nan]]))


def test_mean_and_row_level():
    level = level_of(np.array([0.1] * 19 + [0.5]), "x")
    assert level.level == pytest.approx(0.12) and level.row_level == pytest.approx(0.12)  # never below the mean
    assert level_of(np.linspace(0, 1, 21), "x").row_level == pytest.approx(0.95)


def test_holdout_rows():
    level = holdout_level({"forget": FORGET, "holdout": measured([[np.log(0.3)], [np.log(0.5), np.log(0.5)]])})
    assert level and level.level == pytest.approx(0.4) and level.rows == 2 and "holdout" in level.source
    assert holdout_level({"forget": FORGET}) is None


@pytest.mark.parametrize(
    ("now", "rows", "likeliest"),
    [
        ([0.05] * 18 + [0.15, 0.3], 20, 0.15),  # one of twenty may stand out
        ([0.05] * 18 + [0.15, 0.7], 20, 0.7),  # but not if it is still known: more than half of 0.9 above the level
        ([0.05] * 17 + [0.15, 0.3], 19, 0.3),  # of nineteen none may
        ([0.3, 0.25], 60, 0.0),  # two were measured, and three may stand out
        ([0.3, 0.6], 60, 0.6),
    ],
)
def test_the_likeliest_row_that_counts(now: list[float], rows: int, likeliest: float) -> None:
    assert likeliest_row(np.array(now), np.full(len(now), 1.0), 0.1, rows) == likeliest


def test_wrong_answers_that_are_missing_do_not_count():
    level = wrong_answers_level(FORGET)
    assert level and level.level == pytest.approx(0.4) and level.rows == 3
    assert wrong_answers_level(measured([[-0.1]])) is None


def test_wrong_answers_that_the_true_one_pushes_down_do_not_set_the_level():
    """The true answer has 0.99 of the mass: 5 wrong ones share what is left, 0.002 each. Other rows' answers: 0.04."""
    wrong = replace(measured([[np.log(0.99)]]), perturbed_logps=np.log([[0.002] * 5]))
    other = level_of(np.array([0.03, 0.05]), "other answers")
    level = larger_of(wrong_answers_level(wrong), other)
    assert level and level.level == pytest.approx(0.04) and level.row_level == pytest.approx(0.049) and level.rows == 2
    assert level.source == "other answers, more than the wrong answers in the forget rows (0.002)"


@pytest.mark.parametrize(
    ("wrong", "other", "level"), [(0.2, 0.1, 0.2), (0.1, None, 0.1), (None, 0.3, 0.3), (None, None, None)]
)
def test_the_larger_of_two_levels(wrong, other, level):
    sources = [None if value is None else NeverKnown(value, 2 * value, "x", 3) for value in (wrong, other)]
    larger = larger_of(*sources)
    assert (larger and larger.level) == level
