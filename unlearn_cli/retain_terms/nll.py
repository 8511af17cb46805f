"""Mean negative log-likelihood of the retain answers.

    L = M = -(1/n) sum_t log p(y_t | x, y_<t)

Called GDR by MUSE and "gradient descent on retain" by TOFU (Maini et al., 2024). Published code averages over all
answer tokens of a batch (`average=tokens`); here every answer counts alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from unlearn_cli.contract import parameter, retain_term
from unlearn_cli.outputs import Outputs


@retain_term(paper="2401.06121")
def nll(
    policy: Outputs,
    *,
    average: Annotated[Literal["answers", "tokens"], parameter("weigh every answer alike, or every token")] = "answers",
) -> Tensor:
    return -(policy.mean_logps if average == "answers" else policy.token_weighted_logps)
