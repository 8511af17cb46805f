"""RepNoise: hidden states on the forget rows become noise.

    L = beta MMD^2(h, noise) - alpha log(1 + M),   M = -(1/n) sum_t log p(y_t | x, y_<t), noise from a standard Gaussian

Rosati et al., "Representation Noising: A Defence Mechanism Against Harmful Finetuning" (2024). MMD^2 compares a row's
states with as many draws, by Gaussian kernels of five widths; it is 0 where they cannot be told apart. The logarithm
keeps the ascent from running away. Deviations: the authors' pairs of harmful and harmless answers are our forget and
retain rows, and M is taken at the model's output alone, not at every layer through the head.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Depths, method, parameter
from unlearn_cli.methods.rmu import Seed
from unlearn_cli.outputs import Outputs

WIDTHS = (0.25, 1.0, 4.0, 16.0, 64.0)  # times the number of dimensions


def noise(rows: int, size: int, seed: int) -> Tensor:
    """[rows, size] standard normal; a row does not depend on how many there are."""
    drawn = [torch.randn(size, generator=torch.Generator().manual_seed(seed * 100_003 + row)) for row in range(rows)]
    return torch.stack(drawn)


def discrepancy(states: Tensor, others: Tensor, mask: Tensor) -> Tensor:
    """[B] squared maximum mean discrepancy between states [B, T, H] and others [B, T, H] where mask [B, T]."""
    pairs = (mask[:, :, None] & mask[:, None, :]).to(states.dtype)
    pairs = pairs / pairs.sum((-1, -2), keepdim=True)

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None, :] - 2 * a @ b.mT).clamp_min(0)
        kernels = sum((-squared / (width * a.shape[-1])).exp() for width in WIDTHS) / len(WIDTHS)
        return (kernels * pairs).sum((-1, -2))

    return mean_kernel(states, states) + mean_kernel(others, others) - 2 * mean_kernel(states, others)


@method(
    paper="2405.14577",
    published={"alpha": 1.0, "beta": 0.001, "retain_weight": 1.0, "retain_ratio": 1, "average": "tokens"},
    because="the weights were found by trial on a small model",
    defaults=Defaults(retain_weight=4.0, retain_ratio=2, epochs=5),
    hidden=("policy",),
)
def repnoise(
    policy: Outputs,
    *,
    alpha: Annotated[float, parameter("weight of the ascent", ge=0)] = 1.0,
    beta: Annotated[float, parameter("weight of the noise", ge=0)] = 1.0,
    layers: Annotated[Depths, parameter("relative depths of the blocks")] = (0.5, 1.0),
    seed: Seed = 0,
    average: Average = "answers",
) -> Tensor:
    filled = [h.masked_fill(~policy.mask[..., None], 0.0) for h in policy.hidden]
    drawn = noise(filled[0].shape[1], filled[0].shape[2], seed).to(filled[0]).expand_as(filled[0])
    distances = [discrepancy(h, drawn, policy.mask) for h in filled]
    ascent = -torch.log1p(-policy.averaged(policy.token_logps, average))
    return beta * sum(distances) / len(distances) + alpha * ascent
