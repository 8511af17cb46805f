"""Answer preservation: -(1/beta) log sigmoid(beta (S_refusal - S_answer))."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import RETAIN_TERMS

answer_preservation = RETAIN_TERMS.get("answer-preservation")


def test_worked_example() -> None:
    """Sums 2 for the answer and 6 for the refusal, beta 0.1: 10 log(1 + e^(-0.4)) = 5.13015252."""
    assert answer_preservation(answers([-2.0]), answers([-6.0])).item() == pytest.approx(5.130152523999526, abs=1e-9)


def test_fixture() -> None:
    """With the alternative answers as refusals: 6.99993285, with 1/beta and not 2/beta."""
    losses = answer_preservation(fixture("retain"), fixture("alternative"))
    assert losses.mean().item() == pytest.approx(6.999932849185939, abs=1e-6)


def test_equal_answers() -> None:
    assert answer_preservation(answers([-3.0]), answers([-1.0, -2.0]), beta=0.5).item() == pytest.approx(2 * math.log(2))
