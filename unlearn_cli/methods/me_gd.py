"""Maximum entropy: the distributions over the forget answers become uniform.

    L = (1/n) sum_t KL(u || p(.|x, y_<t)),   u uniform over the vocabulary

Yuan et al., "A Closer Look at Machine Unlearning for Large Language Models" (2024), ME+GD with the retain term nll. L
is 0 where all tokens are equally likely, and unbounded above. Its gradient with respect to a logit is p - 1/V. The
authors weigh the term by 0.1 and score the question's tokens (`positions=all`) and all padding up to 512 tokens as
well; padding is never scored here.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Positions, method
from unlearn_cli.outputs import Outputs
from unlearn_cli.retain_terms.uniform import uniform


@method(
    family="target distribution",
    paper="2410.08109",
    published={
        "positions": "all",
        "forget_weight": 0.1,
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-5,
        "full": True,
    },
    because="questions are scored only on request, and the retain weight was found by trial on a small model",
    defaults=Defaults(forget_weight=0.1, retain_weight=2.0, retain_ratio=2, epochs=6),
    logits=("policy",),
)
def me_gd(policy: Outputs, *, positions: Positions = "answer", average: Average = "answers") -> Tensor:
    return uniform(policy, positions=positions, average=average)
