"""RepNoise: the outputs of the MLPs on the forget rows become noise.

    L = beta MMD^2(a, noise) - alpha log(1 + M),   M = -(1/n) sum_t log p(y_t | x, y_<t), mean of MMD^2 over the layers
    MMD^2 = mean over rows i, j of k(a_i, a_j) + k(z_i, z_j) - 2 k(a_i, z_j),   k(u, v) = sum_m exp(-|u - v|^2 / w_m)
    w_m = (s / 4) 2^m, m = 0 to 4, s the mean squared distance between different rows of a and z together

Rosati et al., "Representation Noising: A Defence Mechanism Against Harmful Finetuning" (2024). a_i is the output of a
block's MLP over the answer of row i, all its tokens as one long vector; z_i is as many draws from a standard Gaussian,
new ones in every step. s has no gradient. MMD^2 is 0 where states and noise have the same distribution. The logarithm
limits the ascent. A row's value is its share of the batch's MMD^2. So it depends on the other rows of its pass, and
accumulation changes it. Deviations: the authors' pairs of harmful and harmless answers are our forget and retain rows,
and M is taken at the model's output alone, not at every layer through the head.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Layers, method, parameter
from unlearn_cli.methods.rmu import Seed
from unlearn_cli.outputs import Outputs

KERNELS = 5


def noise(targets: Tensor, mask: Tensor, layers: int, size: int, seed: int, progress: float) -> Tensor:
    """[layers, B, T, size] standard normal where mask [B, T], else 0; a row's draws follow from its tokens and the step."""
    drawn = torch.zeros(layers, *mask.shape, size, device=mask.device)
    for row, tokens in enumerate(targets.masked_fill(~mask, -1).tolist()):
        answer = [token for token in tokens if token >= 0]
        digest = hashlib.sha256(f"{seed}:{progress}:{answer}".encode()).digest()
        generator = torch.Generator(mask.device).manual_seed(int.from_bytes(digest[:8]) >> 1)
        drawn[:, row, : len(answer)] = torch.randn(layers, len(answer), size, generator=generator, device=mask.device)
    return drawn


def discrepancy(states: Tensor, others: Tensor) -> Tensor:
    """[B] shares of the squared maximum mean discrepancy between rows of states [B, D] and others [B, D].

    Their mean over the rows has the value and the gradient of MMD^2; a share gives a gradient to its own row alone.
    """
    fixed = states.detach()
    both = torch.cat([fixed, others])
    spread = _squared(both, both).sum() / (len(both) ** 2 - len(both))
    widths = [(spread / 4 * 2**m).clamp_min(1e-30) for m in range(KERNELS)]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = _squared(a, b)
        return torch.stack([(-squared / width).exp() for width in widths]).sum(0)

    inside = kernel(states, fixed)
    inside = 2 * inside - inside.detach()  # each pair stands twice in the mean, and here in the share of either row
    return (inside + kernel(others, others) - 2 * kernel(states, others)).mean(-1)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return (a.square().sum(-1)[:, None] + b.square().sum(-1)[None] - 2 * a @ b.T).clamp_min(0)


@method(
    family="representation",
    paper="2405.14577",
    published={"alpha": 1.0, "beta": 0.001, "layers": "all", "retain_weight": 1.0, "retain_ratio": 1, "average": "tokens"},
    because="the retain weight was found by trial on a small model",
    defaults=Defaults(retain_weight=4.0, retain_ratio=2, epochs=5),
    hidden=("policy",),
    reads="mlp",
    coupled=True,
)
def repnoise(
    policy: Outputs,
    progress: float,
    *,
    alpha: Annotated[float, parameter("weight of the ascent", ge=0)] = 1.0,
    beta: Annotated[float, parameter("weight of the noise", ge=0)] = 0.001,
    layers: Annotated[Layers, parameter("relative depths of the blocks; all: every block")] = "all",
    seed: Seed = 0,
    average: Average = "answers",
) -> Tensor:
    filled = [h.masked_fill(~policy.mask[..., None], 0.0) for h in policy.hidden]
    drawn = noise(policy.targets, policy.mask, len(filled), filled[0].shape[-1], seed, progress).to(filled[0])
    distances = [discrepancy(h.flatten(1), z.flatten(1)) for h, z in zip(filled, drawn, strict=True)]
    ascent = -torch.log1p(-policy.averaged(policy.token_logps, average))
    return beta * torch.stack(distances).mean(0) + alpha * ascent
