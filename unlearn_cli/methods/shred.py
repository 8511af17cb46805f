"""SHRED: the least likely answer tokens are demoted, and all others keep the model's own distribution.

    forget positions: the share P of a row's answer tokens that the reference finds least likely
    q_t = softmax(z_ref - beta onehot(y_t)) at forget positions, softmax(z_ref) elsewhere; both cut to the K likeliest tokens
    L = (1/n) sum_t KL(q_t || p_t)

Hu et al., "SHRED: Retain-Set-Free Unlearning via Self-Distillation with Logit Demotion" (2026). The idea: unlikely
tokens carry the knowledge, and likely tokens carry the language. So the forget rows themselves preserve the language,
and the method needs no retain rows. P, K and beta are our own choice: we read a summary of the paper, which gives no
numbers. With P = 1 and every token in q the gradient is that of `undial`.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


def least_likely(reference: Outputs, share: float) -> Tensor:
    """[B, T] bool: of each row the `share` of answer tokens with the lowest log-probability, at least one."""
    counts = (share * reference.lengths).ceil().clamp_min(1)
    order = reference.token_logps.masked_fill(~reference.mask, torch.inf).argsort(-1).argsort(-1)
    return (order < counts[:, None]) & reference.mask


@method(
    paper="2605.07482",
    family="target distribution",
    published={},
    because="we read a summary of the paper, which gives no numbers",
    defaults=Defaults(retain_term="none", epochs=6),
    logits=("policy", "reference"),
)
def shred(
    policy: Outputs,
    reference: Outputs,
    *,
    share: Annotated[float, parameter("P: share of a row's answer tokens that is forgotten", gt=0, le=1)] = 0.5,
    beta: Annotated[float, parameter("how far the answer token's logit is lowered there", ge=0)] = 10.0,
    top: Annotated[int, parameter("K: likeliest tokens that the target keeps", ge=1)] = 100,
    average: Average = "answers",
) -> Tensor:
    demoted = beta * least_likely(reference, share)[..., None].to(reference.logits.dtype)
    target = reference.logits.scatter_add(-1, policy.targets[..., None], -demoted)
    kept, tokens = target.topk(min(top, target.shape[-1]), dim=-1)
    q = kept.log_softmax(-1)
    values = (q.exp() * (q - policy.logits.log_softmax(-1).gather(-1, tokens))).sum(-1)
    return policy.averaged(values, average)
