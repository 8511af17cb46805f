"""Probability of the true answer, normalized for length.

    P = exp((1/n) sum_t log p(y_t | x, y_<t)),   the token that ends the answer included

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024). P is the geometric mean of the token
probabilities. At 1 the model recalls the answer with certainty. On forget rows compare it with the value of a model
that never saw them, which is not 0.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2401.06121",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
)
def probability(split: Measured) -> np.ndarray:
    return split.probabilities
