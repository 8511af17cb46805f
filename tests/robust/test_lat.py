"""Latent adversarial training."""

from __future__ import annotations

import pytest
import torch

from tests.robust.toy import linear, toy
from unlearn_cli.contract import ROBUST

lat = ROBUST.get("lat")


def test_the_adversary_goes_up_the_forget_loss_to_the_edge_of_its_ball() -> None:
    """A state of length 5 and epsilon 0.2: a ball of radius 1. With gradient (3, 4) d = (0.6, 0.8); L = w . w / 2 there."""
    gradients = toy([3.0, 4.0], lambda w: w.square().sum() / 2)
    lat(gradients, epsilon=0.2, steps=4)
    assert gradients.weights.grad.tolist() == pytest.approx([3.6, 4.8], abs=1e-9)


def test_the_retain_term_is_not_disturbed() -> None:
    gradients = toy([3.0, 4.0], linear(0.0, 0.0), lambda w: w.square().sum() / 2)
    lat(gradients, epsilon=0.2, steps=2)
    assert gradients.weights.grad.tolist() == pytest.approx([3.0, 4.0])


def test_no_steps_are_the_plain_gradient() -> None:
    gradients, plain = (toy([3.0, 4.0], lambda w: w.square().sum(), lambda w: w.sum()) for _ in range(2))
    lat(gradients, steps=0)
    plain.backward()
    assert torch.equal(gradients.weights.grad, plain.weights.grad)


def test_each_micro_batch_has_a_perturbation_of_its_own() -> None:
    """Two passes in one gradient: the second does not see the first one's perturbation, nor its shape."""

    def both(w: torch.Tensor) -> torch.Tensor:
        return w.square().sum() / 2

    gradients = toy([3.0, 4.0], both)
    once = gradients.backward

    def twice(term=None):
        return once(term) + once(term)

    gradients.backward = twice
    lat(gradients, epsilon=0.2, steps=4)
    assert gradients.weights.grad.tolist() == pytest.approx([7.2, 9.6], abs=1e-9)
