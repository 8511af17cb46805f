"""Task vector: train on the forget rows, then subtract the change.

    theta = theta_0 - alpha (theta_trained - theta_0),   trained by L = -(1/n) sum_t log p(y_t | x, y_<t)

Ilharco et al., "Editing Models with Task Arithmetic" (2022), as in MUSE. The trained adapter is multiplied by -alpha;
the artifact is a plain adapter. alpha = 0 is the model before, alpha = -1 the trained one. No term protects the retain
rows, so knowledge that they share with the forget rows is lost too.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="weights",
    paper="2212.04089",
    published={"alpha": 5.0, "retain_term": "none", "epochs": 10, "learning_rate": 1e-5},
    because="alpha 5 left 0.58 of the retain probability of our small model, 3 leaves 0.89",
    defaults=Defaults(retain_term="none", epochs=3),
    applied="negated_adapter",
)
def task_vector(
    policy: Outputs,
    *,
    alpha: Annotated[float, parameter("factor of the change that is subtracted", ge=0)] = 3.0,
    average: Average = "answers",
) -> Tensor:
    return -policy.averaged(policy.token_logps, average)
