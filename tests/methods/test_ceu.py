"""CE-U: cross-entropy towards the own distribution without the answer token."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import fixture, one_token, outputs_of
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


def test_each_answer_counts_alike_without_its_first_tokens() -> None:
    """One token left of two, two of three, none of one: each answer's own mean, and 0 where nothing is left."""
    policy = outputs_of([logits_of(2), logits_of(3), logits_of(1)], [torch.zeros(n, dtype=torch.long) for n in (2, 3, 1)])
    one = ceu(one_token([0.7, 0.2, 0.1]), skip=0).item()
    assert ceu(policy).tolist() == pytest.approx([one, one, 0.0])
    assert ceu(policy, average="tokens").tolist() == pytest.approx([one, 2 * one, 0.0])  # one token to an answer on average


def logits_of(tokens: int) -> torch.Tensor:
    return torch.tensor([[0.7, 0.2, 0.1]] * tokens, dtype=torch.float64).log()
