"""CE-U: cross-entropy towards the policy's own distribution without the answer token.

    L = -(1/n') sum_t sum_{v != y} q_v log p_v,   q_v = p_v / (1 - p_y) without gradient, the first `skip` tokens left out

Yang, "CE-U: Cross Entropy Unlearning" (2025). L is the entropy of q minus log(1 - p_y). The gradient with respect to
the answer token's logit is p_y. It is bounded, and it vanishes as the token becomes unlikely. The method needs no
reference. An answer of no more than `skip` tokens contributes nothing.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="target distribution",
    paper="2503.01224",
    published={
        "skip": 1,
        "retain_term": "none",
        "average": "tokens",
        "epochs": 10,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    because=(
        "nothing protects the retain rows: on a small model weight 1 ended at 0.85 of the retain probability, 8 at 0.97"
    ),
    defaults=Defaults(retain_weight=8.0, retain_ratio=2, epochs=6),
    logits=("policy",),
)
def ceu(
    policy: Outputs,
    *,
    skip: Annotated[int, parameter("number of first answer tokens that are left out", ge=0)] = 1,
    average: Average = "answers",
) -> Tensor:
    without = policy.logits.detach().scatter(-1, policy.targets[..., None], -torch.inf)
    values = -(without.softmax(-1) * policy.logits.log_softmax(-1)).sum(-1)
    scored = policy.mask & (torch.arange(policy.mask.shape[-1], device=policy.mask.device) >= skip)
    counts = scored.sum(-1).to(values.dtype)
    shared = counts if average == "answers" else counts.mean()
    return values.masked_fill(~scored, 0.0).sum(-1) / shared.where(shared > 0, 1.0)
