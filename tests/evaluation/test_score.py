"""Scores: mean, bootstrap interval, rows without a value, and numbers that do not exist."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.score import bootstrap, row_values, score, score_split


def test_mean_interval_and_number_of_rows() -> None:
    """1, 2 and 3: one of 27 resamples is all 1, more than the 2.5 % at an end. So 2 +- 1 * sqrt(3 / 2) * 4.3027 / 1.96
    (t and z), and never below 0."""
    values = measured([[-1.0], [-2.0], [-3.0]])
    scored = score_split(METRICS.get("nll"), values, samples=500, seed=0)
    assert scored.value == pytest.approx(2.0) and scored.n == 3 and scored.reason is None
    assert scored.ci == pytest.approx((0.0, 2 + 1.5**0.5 * 4.302653 / 1.959964))
    assert scored.target == "max" and scored.range == (0.0, None)


def test_bootstrap_covers_the_true_mean() -> None:
    """A 95 % interval over 50 rows holds the true mean in most of 200 draws, and not in all of them."""
    noise = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        low, high = bootstrap(noise.normal(3.0, 1.0, 50), 400, 0)
        inside += low <= 3.0 <= high
    assert 176 <= inside <= 198


def test_bootstrap_width() -> None:
    """About 2 * 1.96 standard errors of the mean; the same seed gives the same interval."""
    values = np.random.default_rng(2).normal(0.0, 2.0, 400)
    low, high = bootstrap(values, 4000, 7)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.08)
    assert (low, high) == bootstrap(values, 4000, 7)
    assert (low, high) != bootstrap(values, 4000, 8)


def test_rows_without_a_value_are_left_out_and_counted() -> None:
    """The first answer is only its ending token."""
    values = measured([[-1.0], [-1.0] * 3, [-1.0] * 3], is_argmax=[[True], [True, False, True], [True, True, True]])
    scored = score_split(METRICS.get("exact_memorization"), values, samples=50, seed=0)
    assert scored.value == pytest.approx(0.75) and scored.n == 2
    assert np.isnan(row_values("exact_memorization", values)[0])


@pytest.mark.parametrize(
    ("name", "reason"), [("exact_memorization", "no row has a value"), ("rouge_l", "no answer was generated")]
)
def test_no_row_with_a_value(name: str, reason: str) -> None:
    scored = score_split(METRICS.get(name), measured([[-1.0]], is_argmax=[[True]]), samples=50, seed=0)
    assert (scored.value, scored.ci, scored.n, scored.reason) == (None, None, 0, reason)
    assert scored.target == "min"


@pytest.mark.parametrize("name", ["nll", "perplexity"])
def test_a_number_that_is_not_finite_is_null_with_a_reason(name: str) -> None:
    scored = score_split(METRICS.get(name), measured([[-1.0], [-math.inf]]), samples=50, seed=0)
    assert scored.value is None and scored.ci is None and scored.n == 2
    assert "not a finite number" in scored.reason


def test_one_number_for_a_split_has_no_interval() -> None:
    scored = score_split(METRICS.get("perplexity"), measured([[-1.0], [-1.0]]), samples=50, seed=0)
    assert scored.value == pytest.approx(math.e) and scored.ci is None and scored.n == 2
    assert row_values("perplexity", measured([[-1.0]])) is None


def test_scores_of_every_split_and_metric() -> None:
    values = measured([[-1.0], [-2.0]])
    scores = score(["nll", "probability"], {"forget": values, "retain": values}, samples=20, seed=0)
    assert {split: list(metrics) for split, metrics in scores.items()} == {
        "forget": ["nll", "probability"],
        "retain": ["nll", "probability"],
    }
