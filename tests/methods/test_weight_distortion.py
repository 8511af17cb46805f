"""Weight distortion: the noise."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.methods.weight_distortion import distorted


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
