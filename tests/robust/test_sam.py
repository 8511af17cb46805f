"""Sharpness-aware minimization of the forget term."""

from __future__ import annotations

import pytest
import torch

from tests.robust.toy import linear, toy
from unlearn_cli.contract import ROBUST

sam = ROBUST.get("sam")


def test_the_step_into_the_sharpest_direction() -> None:
    """g = (3, 4), rho = 0.01: e = (0.006, 0.008), of length rho."""
    gradients = toy([1.0, 2.0], linear(3.0, 4.0))
    sam(gradients, rho=0.01)
    first, second = gradients.seen
    assert (second - first).tolist() == pytest.approx([0.006, 0.008], abs=1e-12)
    assert torch.equal(gradients.weights.detach(), first)


def test_the_gradient_is_that_of_the_disturbed_weights() -> None:
    """L = w^3 at w = 2: g = 12, e = 0.5, gradient 3 * 2.5^2 = 18.75; the retain gradient, 10 w at w itself, adds 20."""
    gradients = toy([2.0], lambda w: (w**3).sum(), lambda w: 5 * w.square().sum())
    sam(gradients, rho=0.5)
    assert gradients.weights.grad.item() == pytest.approx(18.75 + 20.0)


def test_rho_0_is_the_plain_gradient() -> None:
    gradients, plain = (toy([1.5], lambda w: (w**3).sum(), lambda w: w.sum()) for _ in range(2))
    sam(gradients, rho=0.0)
    plain.backward()
    assert torch.equal(gradients.weights.grad, plain.weights.grad)


def test_without_a_gradient_nothing_moves() -> None:
    gradients = toy([1.0], linear(0.0))
    sam(gradients, rho=0.1)
    assert torch.equal(*gradients.seen)
    assert gradients.weights.grad.item() == 0.0
