"""Weighted gradient ascent: w = p^beta without gradient."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS

wga = METHODS.get("wga")


@pytest.mark.parametrize(("beta", "value"), [(1.0, -0.34657359027997264), (5.0, -0.02166084939249829)])
def test_worked_example(beta: float, value: float) -> None:
    """p = 0.5: 0.5^beta log 0.5."""
    assert wga(answers([math.log(0.5)]), beta=beta).item() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("beta", "value"), [(1.0, -0.11223014151769357), (5.0, -0.00010671505463632378)])
def test_fixture(beta: float, value: float) -> None:
    assert wga(fixture("forget"), beta=beta, average="tokens").mean().item() == pytest.approx(value, abs=1e-9)


def test_beta_0_is_gradient_ascent() -> None:
    assert torch.equal(wga(fixture("forget"), beta=0.0), METHODS.get("grad-ascent")(fixture("forget")))


def test_beta_1_has_the_gradient_of_the_mean_probability() -> None:
    one, other = answers([-0.3, -2.0, -5.0]), answers([-0.3, -2.0, -5.0])
    wga(one, beta=1.0).sum().backward()
    other.averaged(other.token_logps.exp()).sum().backward()
    torch.testing.assert_close(one.token_logps.grad, other.token_logps.grad)


def test_an_unlikely_token_is_left_alone() -> None:
    policy = answers([-50.0])
    wga(policy, beta=1.0).sum().backward()
    assert policy.token_logps.grad.item() < 1e-20
