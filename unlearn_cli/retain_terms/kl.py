"""Forward KL divergence from the reference on the retain answers.

    L = (1/n) sum_t KL(p_ref(.|x, y_<t) || p(.|x, y_<t))

Used as KLR by TOFU (Maini et al., 2024) and NPO (Zhang et al., 2024). Their code averages over every
position of rows padded to a fixed length: question, padding, and the position behind the last token. Padding changes
the loss there. Here answer positions count, with `positions=all` those of the question too, never those without a next
token.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Positions, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2401.06121", logits=("policy", "reference"))
def kl(
    policy: Outputs,
    reference: Outputs,
    *,
    positions: Positions = "answer",
    average: Average = "answers",
) -> Tensor:
    policy_logps, reference_logps = policy.logits.log_softmax(-1), reference.logits.log_softmax(-1)
    divergence = (reference_logps.exp() * (reference_logps - policy_logps)).sum(-1)
    return policy.averaged(divergence, average)
