"""The level of never having known: hand-worked means and quantiles, and which source is preferred."""

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.evaluation.never_known import level_of, measured_level

FORGET = replace(measured([[-0.1, -0.1], [-0.2]]), perturbed_logps=np.log([[0.2, 0.4], [0.6, np.nan]]))


def test_mean_and_row_level():
    level = level_of(np.array([0.1] * 19 + [0.5]), "x")
    assert level.level == pytest.approx(0.12) and level.row_level == pytest.approx(0.12)  # never below the mean
    assert level_of(np.linspace(0, 1, 21), "x").row_level == pytest.approx(0.95)


def test_holdout_rows_come_before_wrong_answers():
    holdout = measured([[np.log(0.3)], [np.log(0.5), np.log(0.5)]])
    level = measured_level({"forget": FORGET, "holdout": holdout})
    assert level and level.level == pytest.approx(0.4) and level.rows == 2 and "holdout" in level.source


def test_wrong_answers_that_are_missing_do_not_count():
    level = measured_level({"forget": FORGET})
    assert level and level.level == pytest.approx(0.4) and level.rows == 3


def test_neither():
    assert measured_level({"forget": measured([[-0.1]])}) is None
