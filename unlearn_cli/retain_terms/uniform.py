"""Divergence from the uniform distribution: the model should know nothing about these rows.

    L = (1/n) sum_t KL(u || p(.|x, y_<t)) = (1/n) sum_t [ -log V - (1/V) sum_v log p_v ]

What ULD's assistant does on the retain rows (Ji et al., 2024), so that subtracting it leaves them alone. For an
ordinary run it destroys what it is applied to. Zero where all tokens are equally likely, unbounded above. ULD's code
averages over question and padding as well and takes the logarithm of a softmax, which becomes infinite by rounding.
"""

from __future__ import annotations

import math

from torch import Tensor

from unlearn_cli.contract import Average, Positions, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2406.08607", logits=("policy",))
def uniform(policy: Outputs, *, positions: Positions = "answer", average: Average = "answers") -> Tensor:
    divergence = -policy.logits.log_softmax(-1).mean(-1) - math.log(policy.logits.shape[-1])
    return policy.averaged(divergence, average)
