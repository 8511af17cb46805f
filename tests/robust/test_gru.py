"""Gradient rectified unlearning."""

from __future__ import annotations

import pytest
import torch

from tests.robust.toy import linear, toy
from unlearn_cli.contract import ROBUST

gru = ROBUST.get("gru")


def forget_part(gradients) -> torch.Tensor:
    """What is left of the forget gradient: the retain gradient, (1, 1) here, is added to it."""
    return gradients.weights.grad - torch.tensor([1.0, 1.0], dtype=torch.float64)


def test_worked_example() -> None:
    """g_forget = (1, -2), m = (1, 1): <g, m> = -1, |m|^2 = 2, so (1, -2) + (0.5, 0.5) = (1.5, -1.5), orthogonal to m."""
    gradients = toy([0.0, 0.0], linear(1.0, -2.0), linear(1.0, 1.0))
    gru(gradients, gamma=0.8)
    assert forget_part(gradients).tolist() == pytest.approx([1.5, -1.5])
    assert forget_part(gradients).sum().item() == pytest.approx(0.0)


def test_without_a_conflict_nothing_changes() -> None:
    gradients = toy([0.0, 0.0], linear(2.0, -1.0), linear(1.0, 1.0))
    gru(gradients, gamma=0.8)
    assert forget_part(gradients).tolist() == [2.0, -1.0]


def test_the_plain_rule_leaves_the_retain_gradient_out() -> None:
    """The authors' `gru` without `+ce`: (1.5, -1.5) and nothing else; the weight counts the retain gradient."""
    for add, expected in ((0.0, [1.5, -1.5]), (0.5, [2.0, -1.0])):
        gradients = toy([0.0, 0.0], linear(1.0, -2.0), linear(1.0, 1.0))
        gru(gradients, add=add)
        assert gradients.weights.grad.tolist() == pytest.approx(expected)


def test_the_average_goes_on() -> None:
    """m = (1, 1), then a retain gradient of (3, 1) with gamma 0.5: (2, 1)."""
    gradients = toy([0.0, 0.0], linear(1.0, 1.0), linear(1.0, 1.0))
    gru(gradients, gamma=0.5)
    gradients.zero()
    gradients.retain = linear(3.0, 1.0)
    gru(gradients, gamma=0.5)
    assert gradients.state["average"][0].tolist() == pytest.approx([2.0, 1.0])
