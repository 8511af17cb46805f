"""Jensen-Shannon divergence from the reference on the retain answers.

    L = (1/n) sum_t [ KL(p || m) + KL(p_ref || m) ] / 2,   m = (p + p_ref) / 2

Used by JensUn (Singh et al., 2025). Between 0, at the reference, and log 2: one row far from the reference cannot
dominate the others, and pulls less than under `kl`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Positions, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2509.02820", logits=("policy", "reference"))
def jensen_shannon(
    policy: Outputs, reference: Outputs, *, positions: Positions = "answer", average: Average = "answers"
) -> Tensor:
    policy_logps, reference_logps = policy.logits.log_softmax(-1), reference.logits.log_softmax(-1)
    middle = torch.logaddexp(policy_logps, reference_logps) - math.log(2)
    to_middle = (policy_logps.exp() * (policy_logps - middle)).sum(-1)
    from_reference = (reference_logps.exp() * (reference_logps - middle)).sum(-1)
    return policy.averaged((to_middle + from_reference) / 2, average)
