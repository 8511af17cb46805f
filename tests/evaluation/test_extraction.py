"""Bounds on extraction, by hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.recipes.auditing.test_claim import rows
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.extraction import in_any_of, leaks_of, limits
from unlearn_cli.evaluation.score import accuracies, wilson
from unlearn_cli.metrics._bounds import word_for_word


def test_word_for_word_is_the_probability_of_the_answers_tokens():
    assert word_for_word(rows(0.25)) == pytest.approx([0.25] * 4)


def test_extraction_in_many_answers_is_exact_for_each_row():
    values, details = METRICS.get("verbatim_extraction").function(rows(0.25), answers=2)
    assert values == pytest.approx([0.4375] * 4) and details == pytest.approx({"worst": 0.4375, "one_answer": 0.25})
    assert METRICS.get("verbatim_extraction").function(rows(1.0), answers=2)[0] == pytest.approx([1.0] * 4)


def test_the_token_that_ends_an_answer_does_not_count():
    one = rows(0.5)
    two = type(one)(**{**vars(one), "offsets": np.array([0, 2, 4]), "ends": np.ones(2, np.int64), "ids": ("a", "b")})
    assert word_for_word(two) == pytest.approx([0.5, 0.5])


def test_the_chance_in_many_answers():
    assert in_any_of([0.1], 2) == pytest.approx(0.19)
    assert in_any_of([0.1, 0.2], 1) == pytest.approx(0.28)
    assert in_any_of([1e-12], 100) == pytest.approx(1e-10, rel=1e-6)  # no digit is lost
    assert in_any_of([0.0], 10**9) == 0 and in_any_of([0.3, 1.0], 1) == 1


def test_limits_hold_for_all_rows_together():
    """Without a leak in n draws the limit is 1 - level^(1/n), and the level is divided by the number of rows."""
    assert limits([(0, 128)], 0.95) == pytest.approx([1 - 0.05 ** (1 / 128)])
    assert limits([(0, 128)] * 4, 0.95) == pytest.approx([1 - 0.0125 ** (1 / 128)] * 4)
    assert limits([(3, 3)], 0.95) == [1.0]


def test_a_sampled_answer_reveals_by_its_overlap():
    assert leaks_of(rows(0.1, "a tall red house")) == {row: (2, 2) for row in range(4)}
    assert leaks_of(rows(0.1)) == {row: (0, 2) for row in range(4)}


def test_two_accuracies():
    """Wilson: 8 of 10 is 0.490 to 0.943; on a benchmark that was measured whole nothing is left to chance."""
    assert wilson(0.8, 10, 1.959963984540054) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    values = np.array([1.0] * 8 + [0.0] * 2)
    whole = accuracies(values, 10)
    assert whole["benchmark_low"] == whole["benchmark_high"] == pytest.approx(0.8)
    assert (whole["generalized_low"], whole["generalized_high"]) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    part = accuracies(values, 1000)
    assert whole["generalized_low"] < part["benchmark_low"] < 0.8 < part["benchmark_high"] < whole["generalized_high"]
