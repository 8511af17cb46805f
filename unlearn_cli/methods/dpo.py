"""Direct Preference Optimization towards a refusal (IdkDPO).

    L = -(2/beta) log sigmoid(beta (D_alternative - D_forget)),   D = log p(y|x) - log p_ref(y|x), summed over tokens

Rafailov et al., "Direct Preference Optimization" (2023), with the alternative answer preferred to the true one, as in
Zhang et al. (2024). The factor 2/beta makes the gradient at the reference independent of beta; plain DPO has no such
factor. At the reference L = (2/beta) log 2. Without `alternatives` in the data the alternative is a refusal.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="preference",
    paper="2305.18290",
    published={
        "beta": 0.1,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "epochs": 10,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    defaults=Defaults(retain_weight=1.0, retain_ratio=2, epochs=5),
)
def dpo(
    policy: Outputs,
    reference: Outputs,
    alternative: Outputs,
    alternative_reference: Outputs,
    *,
    beta: Annotated[float, parameter("inverse temperature", gt=0)] = 0.1,
) -> Tensor:
    preferred = alternative.sequence_logps - alternative_reference.sequence_logps
    rejected = policy.sequence_logps - reference.sequence_logps
    return -(2 / beta) * F.logsigmoid(beta * (preferred - rejected))
