"""Geometric disentanglement."""

from __future__ import annotations

import pytest
import torch

from tests.robust.toy import linear, toy
from unlearn_cli.contract import ROBUST

gu = ROBUST.get("gu")


def test_worked_example() -> None:
    """g_forget = (1, -2), g_retain = (1, 1): the projection is (-0.5, -0.5), so (1.5, -1.5), and (1, 1) is added."""
    gradients = toy([0.0, 0.0], linear(1.0, -2.0), linear(1.0, 1.0))
    gu(gradients)
    assert gradients.weights.grad.tolist() == pytest.approx([2.5, -0.5])


def test_what_goes_along_with_the_retain_gradient_goes_as_well() -> None:
    """Where `gru` sees no conflict: (2, -1) has (0.5, 0.5) along (1, 1), which leaves (1.5, -1.5)."""
    gradients = toy([0.0, 0.0], linear(2.0, -1.0), linear(1.0, 1.0))
    gu(gradients)
    assert (gradients.weights.grad - 1).tolist() == pytest.approx([1.5, -1.5])


def test_the_span_holds_the_newest_gradients() -> None:
    """(1, 1) and (1, 0) span the plane, and nothing is left to forget with; with span=1 only (1, 0) counts."""
    for span, expected in ((2, [0.0, 0.0]), (1, [0.0, -2.0])):
        gradients = toy([0.0, 0.0], linear(1.0, -2.0), linear(1.0, 1.0))
        gu(gradients, span=span)
        gradients.zero()
        gradients.retain = linear(1.0, 0.0)
        gu(gradients, span=span)
        assert (gradients.weights.grad - torch.tensor([1.0, 0.0])).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_retain_gradient_of_zero_takes_nothing() -> None:
    gradients = toy([0.0, 0.0], linear(1.0, -2.0))
    gu(gradients)
    assert gradients.weights.grad.tolist() == [1.0, -2.0]
