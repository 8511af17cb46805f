"""Token-wise NPO: every answer token is weighed by how far it has already fallen below the reference.

    L = (1/n) sum_t w_t log p(y_t | x, y_<t),   w_t = 2 p^beta / (p^beta + p_ref^beta + epsilon) without gradient

Wang et al., "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond" (2025). The weight is 1 at the
reference and falls to 0 with p; beta -> 0 is gradient ascent. epsilon is 1e-5 in the authors' code. At beta 4 it is
larger than p_ref^beta once p_ref is below 0.05. So tokens that are unlikely under the reference hardly change.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


def weights(policy: Outputs, reference: Outputs, beta: float, epsilon: float) -> Tensor:
    """[B, T] weights without gradient, in log space: they stay finite where both powers round to 0."""
    raised, known = beta * policy.token_logps.detach(), beta * reference.token_logps
    below = torch.logaddexp(raised, known)
    if epsilon > 0:
        below = torch.logaddexp(below, below.new_tensor(math.log(epsilon)))
    return 2 * (raised - below).exp()


@method(
    family="token weights",
    paper="2502.19301",
    published={
        "beta": 4.0,
        "epsilon": 1e-5,
        "retain_term": "kl",
        "forget_weight": 1.0,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
    },
    because="the weights were found by trial on a small model, where the published ones were not tried",
    defaults=Defaults(forget_weight=4.0, retain_weight=2.0, retain_ratio=2, epochs=6),
)
def tnpo(
    policy: Outputs,
    reference: Outputs,
    *,
    beta: Annotated[float, parameter("0: plain ascent; larger: stops sooner below the reference", ge=0)] = 4.0,
    epsilon: Annotated[float, parameter("larger: tokens that are unlikely under the reference weigh less", ge=0)] = 1e-5,
    average: Average = "answers",
) -> Tensor:
    return policy.averaged(weights(policy, reference, beta, epsilon) * policy.token_logps, average)
