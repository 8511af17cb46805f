"""Weighted gradient ascent: tokens that are already unlikely are left alone.

    L = (1/n) sum_t w_t log p(y_t | x, y_<t),   w_t = p(y_t)^beta without gradient

Wang et al., "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond" (2025). beta = 0 is gradient
ascent; at beta = 1 the gradient is that of the mean probability of a token. The gradient vanishes as p -> 0, where that
of plain ascent is largest. The authors' code takes beta 5, the reproduction in open-unlearning 1.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(paper="2502.19301", defaults=Defaults(forget_weight=2.0, retain_weight=3.0, retain_ratio=2, epochs=6))
def wga(
    policy: Outputs,
    *,
    beta: Annotated[float, parameter("0: plain ascent; larger: only likely tokens are pushed", ge=0)] = 1.0,
    average: Average = "answers",
) -> Tensor:
    weights = (beta * policy.token_logps.detach()).exp()
    return policy.averaged(weights * policy.token_logps, average)
