"""A baseline that knows the forget rows is no baseline."""

from __future__ import annotations

import numpy as np
import pytest

from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import below_baseline, check_baseline, check_scores, knows_rows, lower_end
from unlearn_cli.evaluation.recovery import recovery
from unlearn_cli.report import Compared, Score


def score(value: float | None, ci: tuple[float, float] | None = None) -> Score:
    return Score(value=value, n=9, ci=ci)


@pytest.mark.parametrize(
    ("baseline", "original", "knows"),
    [
        (score(0.749), score(0.790), True),
        (score(0.795), score(0.790), True),  # one above the original gave a recovery of 10099 %
        (score(0.6, (0.5, 0.7)), score(0.79), True),  # the interval reaches 0.8 x 0.79
        (score(0.6, (0.55, 0.63)), score(0.79), False),
        (score(0.22), score(0.87), False),
        (score(0.0002), score(0.0002), False),  # the original is no measure: it did not know the rows
        (score(0.05), score(0.05), True),  # from here on the original knows them
        (score(0.049), score(0.049), False),
        (score(0.4), score(0.5), True),  # 0.8 of it
        (score(None), score(0.9), False),
        (score(0.9), score(None), False),
        (None, score(0.9), False),
        (score(0.9), None, False),
    ],
)
def test_which_baselines_know_the_rows(baseline: Score | None, original: Score | None, knows: bool) -> None:
    assert knows_rows(baseline, original) is knows
    if knows:
        with pytest.raises(UnlearnError, match="this baseline knows the forget rows"):
            check_baseline(baseline, original)
    else:
        check_baseline(baseline, original)


def test_no_recovery_where_the_original_may_know_no_more_than_the_baseline() -> None:
    """The interval of T - O holds 0: rows differ by +0.3, -0.3, +0.05, so the difference of 0.017 is no unit."""
    original, baseline = np.array([0.8, 0.4, 0.6]), np.array([0.5, 0.7, 0.55])
    attacked = np.array([0.7, 0.7, 0.6])
    recovered = recovery(attacked, original, baseline, baseline, samples=200, seed=0)
    assert recovered.value is None and recovered.gain is None


def test_below_the_baseline_is_below_its_interval() -> None:
    baseline = score(0.3, (0.2, 0.4))
    assert lower_end(baseline) == 0.2 and lower_end(score(0.3)) is lower_end(None) is None
    assert lower_end(Score(value=0.3, n=1, ci=(0.2, 0.4))) is None  # one row has no interval
    assert lower_end(Score(value=0.3, n=2, ci=(0.2, 0.4))) == 0.2
    assert below_baseline(score(0.19), baseline) and not below_baseline(score(0.2), baseline)
    assert not any(below_baseline(*pair) for pair in [(None, baseline), (score(None), baseline), (score(0.1), score(0.3))])


def test_a_report_s_baseline() -> None:
    check_scores({"retain": {}})
    check_scores({"forget": {"probability": Compared(before=score(0.9), baseline=score(0.2))}})
    with pytest.raises(UnlearnError, match=r"probability 0.850, the original model 0.900"):
        check_scores({"forget": {"probability": Compared(before=score(0.9), baseline=score(0.85))}})
