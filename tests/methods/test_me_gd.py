"""Maximum entropy: KL from the uniform distribution."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import fixture, one_token
from unlearn_cli.contract import METHODS, RETAIN_TERMS

me_gd = METHODS.get("me-gd")


def test_fixture() -> None:
    """Answer positions 0.81358793; with the authors' weight 0.1 and nll, 2.74679054, 2.82814933."""
    loss = me_gd(fixture("forget"), average="tokens").mean().item()
    assert loss == pytest.approx(0.8135879344083042, abs=1e-6)
    retain = RETAIN_TERMS.get("nll")(fixture("retain"), average="tokens").mean().item()
    assert 0.1 * loss + retain == pytest.approx(2.8281493288242787, abs=1e-6)


def test_gradient_is_p_less_chance() -> None:
    """p = [0.7, 0.2, 0.1]: L = 0.32428703, gradient [0.366667, -0.133333, -0.233333]."""
    policy = one_token([0.7, 0.2, 0.1])
    loss = me_gd(policy)
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.3242870277875163, abs=1e-9)
    expected = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64) - 1 / 3
    torch.testing.assert_close(policy.logits.grad.flatten(), expected)


def test_guessing_costs_nothing() -> None:
    assert me_gd(one_token([0.25] * 4)).item() == pytest.approx(0.0, abs=1e-12)
