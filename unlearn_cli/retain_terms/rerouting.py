"""Distance from the reference's hidden states, with a weight that grows: the retain half of circuit breakers.

    L = (progress / 2) (1/n) sum_t |h_t - h_ref,t|, mean over the layers, by default over all of them

Zou et al., "Improving Alignment and Robustness with Circuit Breakers" (2024). A length, not its square: far states are
pulled back as hard as near ones. The weight starts at 0, where the states still agree, and ends at half, as published.
Deviation: the authors' mean also holds the embeddings, which no adapter changes, and padding, and takes the last state
after the final norm.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Layers, Positions, parameter, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2406.04313", hidden=("policy", "reference"), logps=False)
def rerouting(
    policy: Outputs,
    reference: Outputs,
    progress: float,
    *,
    layers: Annotated[Layers, parameter("relative depths of the blocks; all: every block")] = "all",
    positions: Annotated[Positions | None, parameter("scored positions; none: those of the method, else all")] = None,
    average: Average = "answers",
) -> Tensor:
    distances = [(h - r).norm(dim=-1) for h, r in zip(policy.hidden, reference.hidden, strict=True)]
    return progress / 2 * policy.averaged(torch.stack(distances).mean(0), average)
