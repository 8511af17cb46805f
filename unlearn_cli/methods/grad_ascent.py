"""Gradient ascent on the forget answers.

    L = -M,   M = -(1/n) sum_t log p(y_t | x, y_<t)

Jang et al., "Knowledge Unlearning for Mitigating Privacy Risks in Language Models" (2022); a baseline in TOFU. The loss
is unbounded below, and its gradient grows as an answer becomes unlikely. Long training ends in collapse, so use the
method as a baseline. Published code averages over all answer tokens of a batch (`average=tokens`); here every answer
counts alike.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.outputs import Outputs


@method(
    family="ascent",
    paper="2210.01504",
    published={
        "retain_term": "none",
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    defaults=Defaults(retain_term="none", epochs=5),
)
def grad_ascent(
    policy: Outputs,
    *,
    average: Average = "answers",
) -> Tensor:
    return policy.averaged(policy.token_logps, average)
