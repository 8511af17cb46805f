"""LUNAR: hidden states moved along a direction."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.contract import METHODS
from unlearn_cli.outputs import Outputs

lunar = METHODS.get("lunar")


def at(*values: float) -> Outputs:
    """One token with a hidden state."""
    hidden = torch.tensor([[values]], dtype=torch.float64).requires_grad_()
    return Outputs(None, torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), hidden=(hidden,))


def test_worked_example() -> None:
    """The block gives 1.0, 0.3 of it the residual: the projection goes from 0.7 to 1.7, the block to 1 + 2 * 0.5."""
    direction = torch.tensor([0.5], dtype=torch.float64)
    assert lunar(at(0.3 + 1.7), at(1.0), direction).item() == pytest.approx(0.0, abs=1e-12)
    assert lunar(at(1.0), at(1.0), direction).item() == pytest.approx(1.0)


def test_coefficient_0_holds_the_reference() -> None:
    policy = at(1.0, 2.0)
    loss = lunar(policy, at(1.0, 2.0), torch.ones(2), coefficient=0.0)
    loss.sum().backward()
    assert loss.item() == 0
    assert not policy.hidden[0].grad.any()


def test_it_trains_one_matrix() -> None:
    assert lunar.trains == "down_projection"
