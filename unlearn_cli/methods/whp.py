"""Who's Harry Potter: subtract the rise of the logits that training on the forget rows causes.

    z = z_base - alpha relu(z_reinforced - z_base),   the reinforced model trained by L = -(1/n) sum_t log p(y_t | x, y_<t)

Eldan and Russinovich, "Who's Harry Potter? Approximate Unlearning in LLMs" (2023), as in MUSE: the logits are combined
when the model is used. The original then fine-tunes on these generic predictions, with names replaced. That part is
missing here and in MUSE. alpha = 0 changes nothing, and neither does a reinforced model that equals the base. So rows
that the model already knows by heart change little. The artifact is not a plain adapter: it works in `unlearn evaluate`
and `unlearn_cli.load`.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="composition",
    paper="2310.02238",
    published={"alpha": 1.0, "retain_term": "none", "epochs": 10, "learning_rate": 1e-5},
    defaults=Defaults(retain_term="none", epochs=3),
    applied="reinforced_difference",
)
def whp(
    policy: Outputs,
    *,
    alpha: Annotated[float, parameter("how much of the rise is subtracted", ge=0)] = 1.0,
    average: Average = "answers",
) -> Tensor:
    return -policy.averaged(policy.token_logps, average)
