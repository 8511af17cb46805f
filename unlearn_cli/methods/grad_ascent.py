"""Gradient ascent on the forget answers.

    L = -M,   M = -(1/n) sum_t log p(y_t | x, y_<t)

Jang et al., "Knowledge Unlearning for Mitigating Privacy Risks in Language Models" (2022); a baseline in TOFU.
Unbounded below, and its gradient grows as an answer becomes unlikely, so it ends in collapse: use it as a baseline.
Published code averages over all answer tokens of a batch (`average=tokens`); here every answer counts alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(paper="2210.01504", defaults=Defaults(retain_term="none", epochs=5))
def grad_ascent(
    policy: Outputs,
    *,
    average: Annotated[Literal["answers", "tokens"], parameter("weigh every answer alike, or every token")] = "answers",
) -> Tensor:
    return policy.mean_logps if average == "answers" else policy.token_weighted_logps
