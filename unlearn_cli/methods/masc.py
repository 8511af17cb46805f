"""MASC: margin self-correction. The answer token's logit falls to the logits of its best competitors.

    L = (1/n) sum_t max(0, z_y - m_t - margin),   m_t the mean of the k largest other logits

Di Gennaro et al., "Fast Unlearning at Scale via Margin Self-Correction" (2026). A token whose logit is below m_t +
margin has no gradient, so the method stops by itself. A run with a target ends once the target is reached; the authors
end it once the gap z_y - m_t is small at a large enough share of the tokens. k and the margin are our own choice: we
read a summary of the paper, which gives no numbers. `ihl` closes the same gap in probabilities.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    paper="2606.02920",
    family="target distribution",
    published={},
    because="we read a summary of the paper, which gives no numbers",
    defaults=Defaults(retain_weight=2.0, retain_ratio=2, epochs=6),
    logits=("policy",),
)
def masc(
    policy: Outputs,
    *,
    competitors: Annotated[int, parameter("k: largest other logits whose mean counts", ge=1)] = 5,
    margin: Annotated[float, parameter("gap that may remain; below 0 the answer token ends below its competitors")] = -5.0,
    average: Average = "answers",
) -> Tensor:
    answer = policy.targets[..., None]
    others = policy.logits.scatter(-1, answer, -torch.inf)
    best = others.topk(min(competitors, others.shape[-1] - 1), dim=-1).values.mean(-1)
    return policy.averaged((policy.logits.gather(-1, answer).squeeze(-1) - best - margin).clamp_min(0), average)
