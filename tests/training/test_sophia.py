"""Sophia: a clipped, preconditioned step."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.training.sophia import Sophia


def stepped(gradient: float, **settings: float) -> tuple[float, dict]:
    weight = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = Sophia([weight], lr=5e-6, **settings)
    weight.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    return weight.item(), optimizer.state[weight]


def test_worked_example() -> None:
    """g = 0.5: m = 0.05, h = 0.0125, |m| / (0.04 * 5120 * h) = 0.05 / 2.56 = 0.01953125.

    With weight decay 0.1 theta = 1 - 5e-6 * 0.1 - 5e-6 * 0.01953125. SOUL's code updates m twice: 0.095, a ratio of
    0.03710937, and theta = 0.9999993145.
    """
    weight, state = stepped(0.5, weight_decay=0.1)
    assert (state["momentum"].item(), state["squares"].item()) == pytest.approx((0.05, 0.0125))
    assert weight == pytest.approx(1 - 5e-7 - 5e-6 * 0.01953125, abs=1e-14)
    published = 1 - 5e-7 - 5e-6 * (0.9 * 0.05 + 0.1 * 0.5) / (0.04 * 5120 * 0.0125)
    assert published == pytest.approx(0.9999993144531251, abs=1e-14)
    assert weight > published


@pytest.mark.parametrize("gradient", [1e-9, -1e-9])
def test_no_coordinate_moves_by_more_than_the_rate(gradient: float) -> None:
    """A tiny gradient has a tiny square: the ratio is clipped at 1, and the step is lr against its sign."""
    weight, _ = stepped(gradient)
    assert weight == pytest.approx(1.0 - 5e-6 * (1 if gradient > 0 else -1), abs=1e-15)


def test_its_state_comes_back() -> None:
    """Two steps at once equal one step, a save, a load and another."""

    def run(*, interrupted: bool) -> list[float]:
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = Sophia([weight], lr=0.1)
        for step in range(2):
            weight.grad = torch.tensor([0.5, -0.25 * (step + 1)])
            optimizer.step()
            if interrupted and step == 0:
                state = optimizer.state_dict()
                optimizer = Sophia([weight], lr=0.1)
                optimizer.load_state_dict(state)
        return weight.tolist()

    assert run(interrupted=True) == run(interrupted=False)
