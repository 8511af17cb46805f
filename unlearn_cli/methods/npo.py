"""Negative Preference Optimization: gradient ascent that saturates.

    L = -(2/beta) log sigmoid(-beta (log p(y|x) - log p_ref(y|x))),   log p summed over the answer's tokens

Zhang, Lin, Bai and Mei, "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning" (2024).
The gradient is that of ascent on the *summed* log-probability, times a weight W = 2 p^beta / (p^beta + p_ref^beta). W
is 1 at the reference and falls to 0 as the answer becomes unlikely. beta -> 0 gives plain ascent. At the reference L =
(2/beta) log 2. The raw-logit form found in MUSE's code is another loss and is not offered. The authors use beta 0.1;
0.05 forgot more at the same cost in our trials. Because the forget gradient is that of a sum and the retain term's that
of a mean, the retain weight is large.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="preference",
    paper="2404.05868",
    published={
        "beta": 0.1,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "epochs": 10,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    because=(
        "on a small model beta 0.1 with retain weight 10 ended at 0.07 of the forget and 0.98 of the retain "
        "probability, beta 0.05 with 20 at 0.01 and 0.98 (8 epochs each)"
    ),
    defaults=Defaults(retain_weight=20.0, retain_ratio=2, epochs=10),
)
def npo(
    policy: Outputs,
    reference: Outputs,
    *,
    beta: Annotated[float, parameter("inverse temperature; smaller is closer to plain ascent", gt=0)] = 0.05,
) -> Tensor:
    log_ratio = policy.sequence_logps - reference.sequence_logps
    return -(2 / beta) * F.logsigmoid(-beta * log_ratio)
