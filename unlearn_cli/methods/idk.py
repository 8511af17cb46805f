"""Refusal fine-tuning: answer the forget questions with "I do not know".

    L = M_alternative,   M = -(1/n) sum_t log p(a_t | x, a_<t),   a a refusal

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024), where it is called preference optimization. TOFU
takes one token mean over refusals and retain answers together; here each of the two terms has its own mean, so that the
longer retain answers do not outweigh the refusals. Training does not use the true answer, so its probability can stay
high.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.outputs import Outputs


@method(
    family="preference",
    paper="2401.06121",
    published={
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    because="at weight 1 the retain probability of our small model falls to 0.79 (0.94 at 6)",
    defaults=Defaults(retain_weight=6.0, retain_ratio=2, epochs=5),
)
def idk(
    alternative: Outputs,
    *,
    average: Average = "answers",
) -> Tensor:
    return -alternative.averaged(alternative.token_logps, average)
