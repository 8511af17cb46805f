"""Representation rerouting (circuit breakers): hidden states on the forget rows turn away from the reference's.

    L = (1 - progress / 2) (1/n) sum_t relu(cos(h_t + kick |h_ref,t| u, h_ref,t)), mean over the layers, u a fixed direction

Zou et al., "Improving Alignment and Robustness with Circuit Breakers" (2024), with the retain term rerouting over every
block, whose weight grows as this one falls. Both weights start from 10, as published, and end at half of that, because
the published schedule divides by twice the number of steps. L is 1 at the reference. It is 0, without a gradient, once
no state has a positive cosine with the reference's. At the reference the cosine is at its maximum and has no gradient.
Published runs leave this point by rounding errors; here `kick` moves the state away from it. kick = 0 is the published loss.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Depths, Positions, method, parameter
from unlearn_cli.methods.rmu import Seed, random_direction
from unlearn_cli.outputs import Outputs


@method(
    family="representation",
    paper="2406.04313",
    published={
        "layers": (0.31, 0.63),
        "kick": 0.0,
        "retain_term": "rerouting",
        "forget_weight": 10.0,
        "retain_weight": 10.0,
        "retain_ratio": 1,
        "average": "tokens",
        "lora_r": 16,
        "lora_alpha": 16,
        "max_steps": 150,
        "batch_size": 16,
        "learning_rate": 1e-4,
    },
    because="at the reference the cosine has no gradient, and a small push gives it one",
    defaults=Defaults(retain_term="rerouting", forget_weight=10.0, retain_weight=10.0, retain_ratio=2, epochs=5),
    hidden=("policy", "reference"),
    logps=False,
)
def rr(
    policy: Outputs,
    reference: Outputs,
    progress: float,
    *,
    layers: Annotated[Depths, parameter("relative depths of the blocks")] = (0.3, 0.6),
    kick: Annotated[float, parameter("length of the fixed shift of each state, in lengths of a hidden state", ge=0)] = 0.01,
    seed: Seed = 0,
    positions: Positions = "all",
    average: Average = "answers",
) -> Tensor:
    pairs = zip(policy.hidden, reference.hidden, strict=True)
    cosines = []
    for states, known in pairs:
        push = kick * known.norm(dim=-1, keepdim=True) * random_direction(states.shape[-1], seed).to(states)
        cosines.append(F.cosine_similarity(states + push, known, dim=-1).relu())
    return (1 - progress / 2) * policy.averaged(torch.stack(cosines).mean(0), average)
