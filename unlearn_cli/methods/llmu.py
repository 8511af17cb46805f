"""LLMU: ascent on the forget answers and descent on answers to other questions.

    L = w_forget M_forget + w_mismatch M_mismatched
    M_forget = (1/n) sum_t log p(y_t | x, y_<t),  M_mismatched = -(1/n) sum_t log p(a_t | x, a_<t),
    a an answer to another row

Yao, Xu and Liu, "Large Language Model Unlearning" (2023). The weights 0.5 and 1 are those of the authors' code. That
code takes five random answers to a question in a step; here it is one. Its divergence is a cross-entropy with the
gradient of kl, averaged over all positions, padding included. M_forget is unbounded, as in grad-ascent.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="ascent",
    paper="2310.10683",
    published={
        "forget": 0.5,
        "mismatch": 1.0,
        "retain_term": "kl",
        "retain_parameters": {"positions": "all"},
        "forget_weight": 1.0,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "batch_size": 2,
        "max_steps": 1000,
        "learning_rate": 2e-6,
    },
    because=("as for grad-diff, ascent at half its weight ends in collapse, and questions are scored only on request"),
    defaults=Defaults(retain_term="kl", forget_weight=0.2, retain_weight=2.0, retain_ratio=2, epochs=6),
    alternatives="mismatched",
)
def llmu(
    policy: Outputs,
    alternative: Outputs,
    *,
    forget: Annotated[float, parameter("weight of the ascent", ge=0)] = 0.5,
    mismatch: Annotated[float, parameter("weight of the answers to other questions", ge=0)] = 1.0,
    average: Average = "answers",
) -> Tensor:
    ascent = policy.averaged(policy.token_logps, average)
    return forget * ascent - mismatch * alternative.averaged(alternative.token_logps, average)
