"""Gradient ascent, with a divergence from the reference on the retain rows.

    L = (1/n) sum_t log p(y_t | x, y_<t), with the retain term kl

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024), where it is called KL minimization. The forget
term is that of grad-ascent, which is unbounded. TOFU's code takes the divergence over padding positions too; the term
`kl` does not.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.outputs import Outputs


@method(
    family="ascent",
    paper="2401.06121",
    published={
        "retain_term": "kl",
        "retain_parameters": {"positions": "all"},
        "forget_weight": 1.0,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
    },
    because="as for grad-diff, ascent at full weight ends in collapse, and questions are scored only on request",
    defaults=Defaults(retain_term="kl", forget_weight=0.2, retain_weight=2.0, retain_ratio=2, epochs=6),
)
def ga_kl(policy: Outputs, *, average: Average = "answers") -> Tensor:
    return policy.averaged(policy.token_logps, average)
