"""JensUn: Jensen-Shannon divergence to a fixed phrase, repeated over the answer.

    L = (1/n) sum_t [ log 2 + (p log p - (1 + p) log(1 + p)) / 2 ],   p the probability of token (t mod K) of the phrase

Singh et al., "Unlearning That Lasts: Utility-Preserving, Robust, and Almost Irreversible Forgetting in LLMs" (2025),
with the retain term jensen-shannon. L lies between 0 (p = 1) and log 2 (p = 0). Its gradient vanishes at both ends, so
a phrase that the model never says is learned slowly. The authors' code clamps probabilities; here the closed form is
used.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Phrase, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="target distribution",
    paper="2509.02820",
    published={
        "phrase": "No Idea",
        "retain_term": "jensen-shannon",
        "forget_weight": 1.0,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 10,
        "batch_size": 32,
        "learning_rate": 8e-6,
    },
    because="the phrase is written as it stands inside a sentence",
    defaults=Defaults(retain_term="jensen-shannon", retain_ratio=2, epochs=6),
    logits=("policy",),
)
def jensun(
    policy: Outputs,
    *,
    phrase: Annotated[Phrase, parameter("phrase to answer instead, repeated over the answer")] = "No idea",
    average: Average = "answers",
) -> Tensor:
    columns = policy.mask.shape[-1]
    wanted = torch.tensor(phrase, device=policy.mask.device).repeat(columns)[:columns].expand(policy.mask.shape)
    logps = policy.logits.log_softmax(-1).gather(-1, wanted[..., None]).squeeze(-1)
    p = logps.exp()
    return policy.averaged(math.log(2) + (p * logps - (1 + p) * torch.log1p(p)) / 2, average)
