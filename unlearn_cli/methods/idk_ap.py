"""Refusal fine-tuning with answer preservation.

    L = M_alternative on the forget questions, with the retain term answer-preservation

Yuan et al., "A Closer Look at Machine Unlearning for Large Language Models" (2024). The forget term is that of idk. The
retain term keeps the retain rows' own answers more likely than a refusal to their questions. Training does not use the
true forget answers, so their probability can stay high.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.methods.idk import idk
from unlearn_cli.outputs import Outputs


@method(
    family="preference",
    paper="2410.08109",
    published={
        "retain_term": "answer-preservation",
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    defaults=Defaults(retain_term="answer-preservation", retain_ratio=2, epochs=5),
)
def idk_ap(alternative: Outputs, *, average: Average = "answers") -> Tensor:
    return idk(alternative, average=average)
