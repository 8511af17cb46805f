"""RMU: hidden states on the forget rows are steered to a fixed random direction.

    L = (1/n) sum_t |h_t - c u|^2 / H,   h the residual stream after one block, u a random direction of length 1

Li, Pan et al., "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning" (2024), with the retain term
hidden-mse at the same block. Later blocks are not run. As published, the entries of u are drawn from [0, 1) before u is
normed, so all of them are positive. The port in open-unlearning averages a matrix of row sums and lengths by mistake,
which mixes rows; here every position of a row counts once. Published runs train three MLP matrices; here the adapter is
on every layer up to the block.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Positions, method, parameter
from unlearn_cli.outputs import Outputs

Layer = Annotated[float, parameter("relative depth of the block", ge=0, le=1)]
Seed = Annotated[int, parameter("seed of the random direction", ge=0)]


def random_direction(size: int, seed: int) -> Tensor:
    """[size] of length 1, all entries positive; equal from step to step."""
    drawn = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm()


@method(
    family="representation",
    paper="2403.03218",
    published={
        "coefficient": 6.5,
        "layer": 0.25,
        "retain_term": "hidden-mse",
        "retain_weight": 1200.0,
        "retain_ratio": 1,
        "average": "tokens",
        "batch_size": 4,
        "max_steps": 150,
        "learning_rate": 5e-5,
    },
    because=(
        "beside states of length 600 a target of length 6.5 is almost 0: weight 1200 did not change our small model, "
        "8 ended at 0.30 of the forget and 0.95 of the retain probability"
    ),
    defaults=Defaults(retain_term="hidden-mse", retain_weight=8.0, retain_ratio=2, epochs=5),
    hidden=("policy",),
    logps=False,
)
def rmu(
    policy: Outputs,
    *,
    coefficient: Annotated[float, parameter("c: length of the target", gt=0)] = 6.5,
    layer: Layer = 0.5,
    seed: Seed = 0,
    positions: Positions = "all",
    average: Average = "answers",
) -> Tensor:
    (states,) = policy.hidden
    target = coefficient * random_direction(states.shape[-1], seed).to(states)
    return policy.averaged((states - target).square().mean(-1), average)
