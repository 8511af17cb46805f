"""Mean negative log-likelihood of an answer token, in nats.

    NLL = -(1/n) sum_t log p(y_t | x, y_<t),   the token that ends the answer included

The value is unbounded above. A value much larger than that of a model that never saw the rows is a sign of
over-forgetting.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    targets={"forget": "max", "retain": "min", "real_authors": "min", "world_facts": "min", "general": "min"},
    range=(0.0, float("inf")),
    shown=False,
)
def nll(split: Measured) -> np.ndarray:
    return -split.mean_logps
