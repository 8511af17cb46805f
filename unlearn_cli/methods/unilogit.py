"""Unilogit: self-distillation from the policy with the answer token lowered to chance.

    L = (1/n) sum_t KL(p || q),   q = softmax(z'), z'_v = z_v but z'_y such that q_y = 1/V, q without gradient

Vasilev et al., "Unilogit: Robust Machine Unlearning for LLMs Using Uniform-Target Self-Distillation" (2025). The
authors' code was not read: reverse KL is taken from the paper's summary. q_y = 1/V follows from z'_y = log sum_{v != y}
exp z_v - log(V - 1). L is 0 once the answer token has the probability 1/V. The method needs no reference and has no
parameter for its strength.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.outputs import Outputs


@method(
    family="target distribution",
    paper="2505.06027",
    published={},
    because="the loss has no parameter and the authors' training settings were not read",
    defaults=Defaults(retain_weight=8.0, retain_ratio=2, epochs=6),
    logits=("policy",),
)
def unilogit(policy: Outputs, *, average: Average = "answers") -> Tensor:
    answer, logits = policy.targets[..., None], policy.logits.detach()
    wrong = logits.scatter(-1, answer, -torch.inf).logsumexp(-1, keepdim=True)
    target = logits.scatter(-1, answer, wrong - math.log(logits.shape[-1] - 1)).log_softmax(-1)
    logps = policy.logits.log_softmax(-1)
    return policy.averaged((logps.exp() * (logps - target)).sum(-1), average)
