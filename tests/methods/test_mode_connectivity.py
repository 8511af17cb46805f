"""Mode connectivity: a gradient that is made on the way back to the original."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.methods.mode_connectivity import between


def gradient(t: float) -> tuple[float, float, float]:
    """Of theta^2 at (1 - t) 1 + t 5, theta = 5: the place, the gradient by theta, and theta afterwards."""
    weight = torch.nn.Parameter(torch.tensor([5.0]))
    with between({"w": weight}, {"w": torch.tensor([1.0])}, t):
        place = weight.item()
        weight.square().sum().backward()
    return place, weight.grad.item(), weight.item()


@pytest.mark.parametrize(("t", "place", "expected"), [(0.25, 2.0, 0.25 * 4.0), (1.0, 5.0, 10.0), (0.0, 1.0, 0.0)])
def test_worked_example(t: float, place: float, expected: float) -> None:
    """d/dtheta ((1 - t) + t theta)^2 = 2 t ((1 - t) + t theta)."""
    assert gradient(t) == pytest.approx((place, expected, 5.0))


def test_weights_without_a_gradient_come_back_too() -> None:
    weight = torch.nn.Parameter(torch.tensor([5.0]))
    with between({"w": weight}, {"w": torch.tensor([1.0])}, 0.5):
        assert weight.item() == 3.0
    assert weight.item() == 5.0 and weight.grad is None


def test_an_error_on_the_way_leaves_the_weights_as_they_were() -> None:
    weight = torch.nn.Parameter(torch.tensor([5.0]))
    with pytest.raises(KeyboardInterrupt), between({"w": weight}, {"w": torch.tensor([1.0])}, 0.5):
        raise KeyboardInterrupt
    assert weight.item() == 5.0
