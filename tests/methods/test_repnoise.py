"""RepNoise: hidden states that look like noise, and an ascent that slows down."""

from __future__ import annotations

import math

import pytest
import torch

from unlearn_cli.contract import METHODS
from unlearn_cli.methods.repnoise import WIDTHS, discrepancy, noise
from unlearn_cli.outputs import Outputs

repnoise = METHODS.get("repnoise")


def outputs(hidden: torch.Tensor, nll: float) -> Outputs:
    rows, tokens, _ = hidden.shape
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    logps = torch.full((rows, tokens), -nll, dtype=torch.float64)
    return Outputs(logps, torch.zeros(rows, tokens, dtype=torch.long), mask, hidden=(hidden, hidden))


def test_the_ascent() -> None:
    """beta 0, a loss of 2 nats: -log(1 + 2). Published toy: 1.5 + 0.001 * 0.4 - log 3 = 0.40178771."""
    loss = repnoise(outputs(torch.zeros(1, 2, 3, dtype=torch.float64), 2.0), beta=0.0).item()
    assert loss == pytest.approx(-math.log(3))
    assert 1.5 + 0.001 * 0.4 + loss == pytest.approx(0.4017877113318902, abs=1e-9)


def test_discrepancy_of_single_tokens() -> None:
    """One state against one draw at squared distance 8 in 2 dimensions: 2 - 2 mean over widths of exp(-8 / (2 w))."""
    a, b = torch.zeros(1, 1, 2, dtype=torch.float64), torch.full((1, 1, 2), 2.0, dtype=torch.float64)
    kernel = sum(math.exp(-8 / (2 * width)) for width in WIDTHS) / len(WIDTHS)
    made = discrepancy(a, b, torch.ones(1, 1, dtype=torch.bool))
    assert made.item() == pytest.approx(2 - 2 * kernel, abs=1e-9)


def test_noise_itself_costs_nothing() -> None:
    drawn = noise(3, 4, 0).double()[None]
    assert repnoise(outputs(drawn, 0.0)).item() == pytest.approx(0.0, abs=1e-12)


def test_a_row_of_noise_does_not_depend_on_how_many_there_are() -> None:
    assert torch.equal(noise(2, 5, 1), noise(7, 5, 1)[:2])
    assert not torch.equal(noise(2, 5, 1), noise(2, 5, 2))
