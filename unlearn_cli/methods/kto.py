"""Kahneman-Tversky Optimization of undesirable answers.

    L = 1 - sigmoid(beta (z - D_forget)),   D = log p(y|x) - log p_ref(y|x), summed over tokens
    z = max(0, mean of D over answers to other questions), without gradient

Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization" (2024). z estimates how far the policy has
moved from the reference. L lies between 0 and 1. Far from the reference its gradient vanishes in both directions. The
two versions in the NPO repository are not offered, because they neither clamp z nor multiply it by beta: one lies
between 1 - 2/beta and 1, the other is at least 1 and has no upper bound. z depends on the other rows of the
micro-batch. So losses and gradients change a little with --gradient-accumulation-steps.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="preference",
    paper="2402.01306",
    published={"beta": 0.1, "forget_weight": 1.0, "retain_weight": 1.0, "retain_ratio": 1},
    because="the weights were found by trial on a small model, where the published ones were not tried",
    defaults=Defaults(forget_weight=5.0, retain_weight=2.0, retain_ratio=2, epochs=6),
    alternatives="mismatched",
    coupled=True,
)
def kto(
    policy: Outputs,
    reference: Outputs,
    alternative: Outputs,
    alternative_reference: Outputs,
    *,
    beta: Annotated[float, parameter("inverse temperature", gt=0)] = 0.1,
) -> Tensor:
    moved = alternative.sequence_logps - alternative_reference.sequence_logps
    z = moved.detach().mean().clamp_min(0)
    return 1 - torch.sigmoid(beta * (z - (policy.sequence_logps - reference.sequence_logps)))
