"""FLAT: loss adjustment between a template answer and the forget answer, by an f-divergence.

    L = a(g) + c(f),   f mean probability of a forget answer's tokens, g that of a refusal's tokens
    kl       -g + e^(f - 1)                     tv       -tanh(g)/2 + tanh(f)/2
    pearson  -g + f + f^2/4                     jeffrey  -g + f + f^2/4 + f^3/16
    js       log(1 + e^-g) + f + log(1 + e^-f) - 2 log 2

Wang et al., "LLM Unlearning via Loss Adjustment with Only Forget Data" (2024). The published reverse KL, squared
Hellinger and Neyman forms are left out: their derivative with respect to g is positive, so they make the refusal less
likely. Published means run over padding, which counts 0 in the sum and 1 in the length; here only answer tokens count.
The gradient is that of a probability. So it vanishes where a token is already unlikely. At the start this holds for the
refusal too.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.outputs import Outputs

DIVERGENCES = {
    "kl": lambda g, f: -g + (f - 1).exp(),
    "tv": lambda g, f: (f.tanh() - g.tanh()) / 2,
    "pearson": lambda g, f: -g + f + f**2 / 4,
    "js": lambda g, f: F.softplus(-g) + f + F.softplus(-f) - 2 * math.log(2),
    "jeffrey": lambda g, f: -g + f + f**2 / 4 + f**3 / 16,
}


@method(
    family="target distribution",
    paper="2410.11143",
    published={
        "divergence": "tv",
        "retain_term": "none",
        "forget_weight": 1.0,
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    because=(
        "nothing protects the retain rows; the weights were found by trial on a small model, where the published ones "
        "were not tried"
    ),
    defaults=Defaults(forget_weight=4.0, retain_weight=2.0, retain_ratio=2, epochs=6),
)
def flat(
    policy: Outputs,
    alternative: Outputs,
    *,
    divergence: Annotated[Literal["kl", "tv", "pearson", "js", "jeffrey"], parameter("which f-divergence")] = "tv",
) -> Tensor:
    f = policy.averaged(policy.token_logps.exp())
    g = alternative.averaged(alternative.token_logps.exp())
    return DIVERGENCES[divergence](g, f)
