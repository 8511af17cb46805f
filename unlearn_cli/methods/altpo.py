"""Alternate Preference Optimization: DPO towards answers that the model itself could have given.

    L = -(2/beta) log sigmoid(beta (D_alternative - D_forget)),   D = log p(y|x) - log p_ref(y|x), summed over tokens

Mekala et al., "Alternate Preference Optimization for Unlearning Factual Knowledge in Large Language Models" (2024). The
loss is that of dpo. A row that has `alternatives` in the data uses them. For other rows the model writes some before
training, at temperature 1. Its prompt holds the question, the true answer, and the request for an answer with other
plausible facts. The question alone is not enough: a model that knows the row would give the true answer. Samples that
repeat the true answer are dropped. The others are stored in the run folder. At the reference L = (2/beta) log 2.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.methods.dpo import dpo
from unlearn_cli.outputs import Outputs


@method(
    family="preference",
    paper="2409.13474",
    published={
        "beta": 0.1,
        "samples": 5,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "epochs": 2,
        "batch_size": 35,
        "learning_rate": 5e-5,
        "full": True,
    },
    defaults=Defaults(retain_weight=1.0, retain_ratio=2, epochs=5),
    alternatives="generated",
)
def altpo(
    policy: Outputs,
    reference: Outputs,
    alternative: Outputs,
    alternative_reference: Outputs,
    *,
    beta: Annotated[float, parameter("inverse temperature", gt=0)] = 0.1,
    samples: Annotated[int, parameter("answers sampled for each question that has no alternatives", ge=1)] = 5,
) -> Tensor:
    return dpo(policy, reference, alternative, alternative_reference, beta=beta)
