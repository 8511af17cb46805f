"""CE-U: cross-entropy towards the own distribution without the answer token."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import fixture, one_token
from unlearn_cli.contract import METHODS

ceu = METHODS.get("ceu")


def test_worked_example() -> None:
    """p = [0.7, 0.2, 0.1], y = 0: q = [0, 2/3, 1/3], L = H(q) - log 0.3 = 0.63651417 + 1.20397280."""
    policy = one_token([0.7, 0.2, 0.1])
    loss = ceu(policy, skip=0)
    loss.sum().backward()
    assert loss.item() == pytest.approx(1.8404869726207485, abs=1e-9)
    assert policy.logits.grad.flatten().tolist() == pytest.approx([0.7, -0.4666666666666666, -0.2333333333333333], abs=1e-9)


@pytest.mark.parametrize(("skip", "value"), [(1, 1.2069814532958478), (0, 1.1866283526930288)])
def test_fixture(skip: int, value: float) -> None:
    assert ceu(fixture("forget"), skip=skip, average="tokens").mean().item() == pytest.approx(value, abs=1e-6)


def test_an_answer_of_one_token_contributes_nothing() -> None:
    policy = one_token([0.7, 0.2, 0.1])
    loss = ceu(policy)
    loss.sum().backward()
    assert loss.item() == 0
    assert not policy.logits.grad.any()


def test_a_forgotten_token_has_no_gradient_left() -> None:
    policy = one_token([1e-12, 0.6, 0.4])
    loss = ceu(policy, skip=0)
    loss.sum().backward()
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert loss.item() == pytest.approx(entropy, abs=1e-6)
    assert policy.logits.grad.abs().max() < 1e-11
