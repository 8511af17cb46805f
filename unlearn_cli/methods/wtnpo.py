"""Weighted token-wise NPO: tnpo that also leaves unlikely tokens alone.

    L = (1/n) sum_t w_t log p(y_t | x, y_<t),   w_t = p^alpha * 2 p^beta / (p^beta + p_ref^beta + epsilon) without gradient

Wang et al., "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond" (2025). alpha = 0 is tnpo; the
factor p^alpha is that of wga.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.methods.tnpo import weights
from unlearn_cli.outputs import Outputs


@method(
    family="token weights",
    paper="2502.19301",
    published={
        "alpha": 1.5,
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
    defaults=Defaults(forget_weight=6.0, retain_weight=2.0, retain_ratio=2, epochs=6),
)
def wtnpo(
    policy: Outputs,
    reference: Outputs,
    *,
    alpha: Annotated[float, parameter("larger values lower the weight of unlikely tokens", ge=0)] = 1.5,
    beta: Annotated[float, parameter("0: plain ascent; larger: stops sooner below the reference", ge=0)] = 4.0,
    epsilon: Annotated[float, parameter("larger: tokens that are unlikely under the reference weigh less", ge=0)] = 1e-5,
    average: Average = "answers",
) -> Tensor:
    saturation = (alpha * policy.token_logps.detach()).exp()
    return policy.averaged(saturation * weights(policy, reference, beta, epsilon) * policy.token_logps, average)
