"""Mode connectivity: a gradient that is made on the way back to the original."""

from __future__ import annotations

import math

import pytest
import torch

from tests.methods.scripted import Scripted, p
from unlearn_cli.methods.mode_connectivity import between, mode_connectivity


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


@pytest.mark.parametrize(("ceiling", "slope"), [(50.0, 1.0), (0.1, 0.0)])
def test_a_step_by_hand(monkeypatch, ceiling: float, slope: float) -> None:
    """w is 4 before and 0 after the base method; at t = 0.75 the line is at 1. CE is -log p(1) = 0.313, or the ceiling.

    Its slope by w is -t (1 - p(1)); the term has -2 CE; the divergence has no slope yet.
    """
    monkeypatch.setattr(torch, "rand", lambda *size, generator: torch.tensor(0.75))
    bench = Scripted([4.0], forget=[1.0], retain=[1.0], learned=-4.0)
    (record,) = mode_connectivity(bench, weight=2.0, ceiling=ceiling, epochs=1.0, rate=0.5)
    assert record.forget_loss == pytest.approx(-2 * min(ceiling, -math.log(p(1.0))))
    assert record.grad_norm == pytest.approx(slope * 2 * 0.75 * (1 - p(1.0)))
    assert record.retain_loss == pytest.approx(0.0, abs=1e-12)
    assert bench.w == pytest.approx(-0.5 * slope)
    assert bench.seen == [(1.0, 1.0, False), (1.0, 0.0, True)]
