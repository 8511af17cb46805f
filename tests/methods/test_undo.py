"""UNDO: what the student starts from."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.methods.undo import shrunk


def start(weight: torch.Tensor, alpha: float, beta: float, seed: int = 0) -> torch.Tensor:
    return shrunk(weight, alpha, beta, torch.Generator().manual_seed(seed))


def test_worked_example() -> None:
    """theta = 2, alpha = 0.25, beta = 0: 1.5."""
    assert start(torch.tensor([[2.0]]), 0.25, 0.0).item() == pytest.approx(1.5)


def test_alpha_0_is_the_teacher() -> None:
    weight = torch.randn(4, 3)
    assert torch.equal(start(weight, 0.0, 1.0), weight)


def test_noise_has_xaviers_bound() -> None:
    """alpha = beta = 1 is noise alone, uniform within sqrt(6 / (400 + 200)) = 0.1."""
    weights = start(torch.ones(400, 200), 1.0, 1.0)
    assert weights.abs().max().item() == pytest.approx(0.1, abs=1e-3)
    assert weights.mean().abs() < 1e-3
    assert weights.std().item() == pytest.approx(0.1 / 3**0.5, abs=1e-3)


def test_vectors_shrink_without_noise() -> None:
    """As in the authors' code: 0.75 x 1, whatever beta."""
    assert start(torch.ones(5), 0.25, 1.0).tolist() == [0.75] * 5


def test_experts_have_the_bound_of_one_expert() -> None:
    """[8, 400, 200]: sqrt(6 / (400 + 200)) = 0.1 for each of the 8 matrices, not sqrt(6 / (8 + 400)) = 0.121."""
    assert start(torch.ones(8, 400, 200), 1.0, 1.0).abs().max().item() == pytest.approx(0.1, abs=1e-3)
