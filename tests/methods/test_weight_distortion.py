"""Weight distortion: the noise."""

from __future__ import annotations

import pytest
import torch

import unlearn_cli.methods.weight_distortion as module
from tests.methods.scripted import Scripted, p
from unlearn_cli.methods.weight_distortion import distorted, weight_distortion


def noisy(weight: torch.Tensor, sigma: float, seed: int = 0) -> torch.Tensor:
    return distorted(weight, sigma, torch.Generator().manual_seed(seed))


def test_the_noise_is_a_share_of_the_matrixs_own_deviation() -> None:
    """Weights of deviation 0.04 and sigma 0.5: noise of deviation 0.02, which is the paper's, around what was there."""
    weight = 0.04 * torch.randn(400, 300, generator=torch.Generator().manual_seed(1))
    noise = noisy(weight, 0.5) - weight
    assert noise.std().item() == pytest.approx(0.02, rel=0.01)
    assert noise.mean().abs().item() < 1e-3
    assert torch.corrcoef(torch.stack([noise.flatten(), weight.flatten()]))[0, 1].abs().item() < 0.01


def test_vectors_and_sigma_0_change_nothing() -> None:
    assert torch.equal(noisy(torch.ones(5), 9.0), torch.ones(5))
    weight = torch.randn(4, 3)
    assert torch.equal(noisy(weight, 0.0), weight)


def test_a_seed_is_one_noise() -> None:
    weight = torch.randn(4, 3)
    assert torch.equal(noisy(weight, 1.0, 3), noisy(weight, 1.0, 3))
    assert not torch.equal(noisy(weight, 1.0, 3), noisy(weight, 1.0, 4))


def test_steps_by_hand(monkeypatch) -> None:
    """The base method leaves 1, the noise makes it 3: a retain row of slope 2 pulls with 2 (p(6) - p(2))."""
    monkeypatch.setattr(module, "distorted", lambda weight, sigma, generator: weight + sigma)
    bench = Scripted([3.0], forget=[1.0, 1.0], retain=[2.0], learned=-2.0)
    first, *rest = weight_distortion(bench, sigma=2.0, epochs=2.0, rate=1e-9)
    assert first.grad_norm == pytest.approx(2 * (p(6.0) - p(2.0)))
    assert (first.forget_loss, len(rest)) == (0.0, 3)
    assert bench.seen[0] == (2.0, 3.0, True)
