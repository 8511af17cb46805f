"""Reverse KL divergence from the reference on the retain answers.

    L = (1/n) sum_t KL(p(.|x, y_<t) || p_ref(.|x, y_<t))

The other direction of `kl`: it punishes tokens that the reference finds unlikely, and hardly the loss of likely ones.
Zero at the reference. SOUL's code has a cross-entropy in this direction without the entropy term, whose minimum is a
single token, not the reference; that form is not offered.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Positions, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(logits=("policy", "reference"))
def kl_reverse(
    policy: Outputs, reference: Outputs, *, positions: Positions = "answer", average: Average = "answers"
) -> Tensor:
    policy_logps, reference_logps = policy.logits.log_softmax(-1), reference.logits.log_softmax(-1)
    divergence = (policy_logps.exp() * (policy_logps - reference_logps)).sum(-1)
    return policy.averaged(divergence, average)
