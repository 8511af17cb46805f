"""Mean negative log-likelihood of the retain answers.

    L = M = -(1/n) sum_t log p(y_t | x, y_<t)

Called GDR by MUSE and "gradient descent on retain" by TOFU (Maini et al., 2024). Published code averages over all
answer tokens of a batch (`average=tokens`); here every answer counts alike.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2401.06121")
def nll(
    policy: Outputs,
    *,
    average: Average = "answers",
) -> Tensor:
    return -policy.averaged(policy.token_logps, average)
