"""Answer preservation: the true answer to a retain question must stay more likely than a refusal.

    L = -(1/beta) log sigmoid(beta (log p(y|x) - log p(a|x))),   a a refusal, both summed over tokens

Yuan et al., "A Closer Look at Machine Unlearning for Large Language Models" (2024), the second half of IDK+AP. No
reference is needed. Note the factor 1/beta where dpo and npo have 2/beta. L falls to 0 as the answer wins by more than
a few 1/beta.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from unlearn_cli.contract import parameter, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2410.08109")
def answer_preservation(
    policy: Outputs,
    alternative: Outputs,
    *,
    beta: Annotated[float, parameter("inverse temperature", gt=0)] = 0.1,
) -> Tensor:
    return -F.logsigmoid(beta * (policy.sequence_logps - alternative.sequence_logps)) / beta
