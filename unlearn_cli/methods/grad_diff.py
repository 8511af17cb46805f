"""Gradient difference: ascent on the forget answers, descent on the retain answers.

    L = -M_forget  (+ retain_weight * retain term)

Liu, Liu and Stone, "Continual Learning and Private Unlearning" (2022); TOFU uses weights 1 and 1. The forget term is
that of grad-ascent, which is unbounded. The retain term delays the collapse. At the start the two terms have similar
sizes and opposite signs, so their sum is near 0: look at each of them.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.outputs import Outputs


@method(
    family="ascent",
    paper="2203.12817",
    published={
        "forget_weight": 1.0,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    because="equal weights end in collapse on our small model: 0.00 of the forget and 0.43 of the retain probability",
    defaults=Defaults(forget_weight=0.2, retain_weight=2.0, retain_ratio=2, epochs=6),
)
def grad_diff(
    policy: Outputs,
    *,
    average: Average = "answers",
) -> Tensor:
    return policy.averaged(policy.token_logps, average)
