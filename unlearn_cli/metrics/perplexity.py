"""Perplexity of the answers: the exponential of the mean negative log-likelihood over all their tokens.

    PPL = exp(-(1/N) sum over rows and tokens of log p(y_t | x, y_<t))

Every token counts alike, so long answers weigh more than in `nll`. The metric has one value for a split, and none for a
row.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    targets={"forget": "max", "retain": "min", "real_authors": "min", "world_facts": "min", "general": "min"},
    range=(1.0, float("inf")),
    shown=False,
)
def perplexity(split: Measured) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(-split.token_logps.astype(np.float64).mean()))
