"""Unilogit: reverse KL to the own distribution with the answer token at chance."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import one_token
from unlearn_cli.contract import METHODS

unilogit = METHODS.get("unilogit")


def test_worked_example() -> None:
    """p = [0.7, 0.2, 0.1] has the target [1/3, 4/9, 2/9]: KL = sum p log(p / q)."""
    by_hand = 0.7 * math.log(0.7 * 3) + 0.2 * math.log(0.2 * 9 / 4) + 0.1 * math.log(0.1 * 9 / 2)
    assert unilogit(one_token([0.7, 0.2, 0.1])).item() == pytest.approx(by_hand, abs=1e-9)


def test_an_answer_at_chance_costs_nothing_and_has_no_gradient() -> None:
    policy = one_token([1 / 3, 0.5, 1 / 6])
    loss = unilogit(policy)
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert policy.logits.grad.abs().max() < 1e-12


def test_the_answer_goes_down_and_the_others_keep_their_proportions() -> None:
    policy = one_token([0.7, 0.2, 0.1])
    unilogit(policy).sum().backward()
    gradient = policy.logits.grad.flatten()
    assert gradient[0] > 0
    assert (gradient[1] / gradient[2]).item() == pytest.approx(2.0, abs=1e-9)
