"""Weight distance: what is taken off the loss."""

from __future__ import annotations

import math

import pytest
import torch

from tests.methods.scripted import Scripted, p
from unlearn_cli.methods.weight_distance import distance, weight_distance


def test_worked_example() -> None:
    """Differences (3, 4) and (0, 0) over 4 weights: sqrt(25 / 4) = 2.5; its gradient by (3, 4) is (3, 4) / (4 x 2.5)."""
    weights = [torch.tensor([4.0, 4.0], requires_grad=True), torch.tensor([[7.0], [8.0]], requires_grad=True)]
    value = distance(weights, [torch.tensor([1.0, 0.0]), torch.tensor([[7.0], [8.0]])])
    value.backward()
    assert value.item() == pytest.approx(2.5)
    assert weights[0].grad.tolist() == pytest.approx([0.3, 0.4])
    assert weights[1].grad.flatten().tolist() == [0.0, 0.0]


def test_the_gradient_has_one_length_however_far() -> None:
    lengths = []
    for value in (0.1, 10.0):
        weight = torch.full((4,), value, requires_grad=True)
        distance([weight], [torch.zeros(4)]).backward()
        lengths.append(weight.grad.norm().item())
    assert lengths == pytest.approx([0.5, 0.5])  # 1 / sqrt(n)


def test_equal_weights_have_no_direction() -> None:
    weight = torch.ones(3, requires_grad=True)
    distance([weight], [torch.ones(3)]).backward()
    assert weight.grad.tolist() == [0.0, 0.0, 0.0]


def test_steps_by_hand() -> None:
    """w is 3 before and 1 after the base method: distance 2, weight 4. Its slope -4 |w - 3|' is 4.

    The divergence has no slope yet. Adam's first step takes the rate, 0.5, off.
    At 0.5 the distance is 2.5, and the retain row pulls with p(0.5) - p(1).
    """
    bench = Scripted(3.0, forget=[1.0, 1.0], retain=[1.0], learned=-2.0)
    first, second = weight_distance(bench, weight=4.0, epochs=1.0, rate=0.5)
    assert (first.forget_loss, first.retain_loss, first.grad_norm) == pytest.approx((-8.0, 0.0, 4.0))
    assert second.forget_loss == pytest.approx(-10.0)
    assert second.grad_norm == pytest.approx(4 + p(0.5) - p(1.0))
    assert second.retain_loss == pytest.approx(p(1) * math.log(p(1) / p(0.5)) + p(-1) * math.log(p(-1) / p(-0.5)))
