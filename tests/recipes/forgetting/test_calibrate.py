"""`--calibrate` finds the strongest unlearning that keeps a constraint."""

from __future__ import annotations

import pytest

from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.forgetting.calibrate import HALVINGS, calibrate


def test_all_of_it_where_that_is_allowed() -> None:
    calibration = calibrate("x", lambda scale: True)
    assert (calibration.scale, calibration.tried) == (1.0, [(1.0, True)])


@pytest.mark.parametrize("limit", [0.1, 0.37, 0.9])
def test_the_largest_scale_is_found_by_halving(limit: float) -> None:
    calibration = calibrate("x", lambda scale: scale <= limit)
    assert limit - 2**-HALVINGS < calibration.scale <= limit


def test_where_the_constraint_is_not_monotone_the_result_keeps_it_all_the_same() -> None:
    """It holds below 0.3 and again from 0.6 to 0.7: whichever is found, it holds there."""

    def keeps(scale: float) -> bool:
        return scale < 0.3 or 0.6 < scale < 0.7

    assert keeps(calibrate("x", keeps).scale)


def test_nothing_at_all_is_the_last_resort() -> None:
    calibration = calibrate("x", lambda scale: scale == 0.0)
    assert calibration.scale == 0.0
    with pytest.raises(UnlearnError, match="untouched model"):
        calibrate("x", lambda scale: False)
