"""The sign optimizer."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.training.sign import Sign


def test_worked_example() -> None:
    """g = (3, -0.01, 0): each weight moves by the rate, whatever the size; no gradient, no step."""
    weights = torch.nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    weights.grad = torch.tensor([3.0, -0.01, 0.0])
    Sign([weights], lr=0.1).step()
    assert weights.tolist() == pytest.approx([0.9, 1.1, 1.0])


def test_the_average_decides() -> None:
    """m = 0.1 * 4 = 0.4, then 0.9 * 0.4 - 0.1 * 1 = 0.26: the second step still goes the first way."""
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = Sign([weights], lr=1.0, beta=0.9)
    for gradient in (4.0, -1.0):
        weights.grad = torch.tensor([gradient])
        optimizer.step()
    assert weights.item() == pytest.approx(-2.0)
    assert optimizer.state[weights]["average"].item() == pytest.approx(0.26)


def test_decay_is_decoupled() -> None:
    """theta = 2, rate 0.1, decay 0.5: 2 * 0.95 - 0.1 = 1.8."""
    weights = torch.nn.Parameter(torch.tensor([2.0]))
    weights.grad = torch.ones(1)
    Sign([weights], lr=0.1, weight_decay=0.5).step()
    assert weights.item() == pytest.approx(1.8)
