"""Mean squared distance from the reference's hidden states on the retain rows.

    L = (1/n) sum_t |h_t - h_ref,t|^2 / H,   h the residual stream after one block

The retain half of RMU (Li et al., 2024). Zero at the reference. The published code averages over padding as well, and
in one port over a product of row sums and lengths; here every position of a row counts once.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Positions, parameter, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2403.03218", hidden=("policy", "reference"), logps=False)
def hidden_mse(
    policy: Outputs,
    reference: Outputs,
    *,
    layer: Annotated[float | None, parameter("relative depth; none: the method's own layers, else 0.5", ge=0, le=1)] = None,
    positions: Annotated[Positions | None, parameter("scored positions; none: those of the method, else all")] = None,
    average: Average = "answers",
) -> Tensor:
    distances = [(h - r).square().mean(-1) for h, r in zip(policy.hidden, reference.hidden, strict=True)]
    return policy.averaged(torch.stack(distances).mean(0), average)
