"""Probability of the paraphrased answer, normalized for length. It is high where only the wording was forgotten.

    P = exp((1/n) sum_t log p(z_t | x, z_<t)),   z the paraphrase, the token that ends it included

Dorna et al., "OpenUnlearning" (2025). Rows without a paraphrased answer have no value.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(paper="2506.12618", targets={"forget": "min", "retain": "max"}, range=(0.0, 1.0), shown=False)
def paraphrased_probability(split: Measured) -> np.ndarray:
    return np.full(split.rows, np.nan) if split.paraphrased_logps is None else np.exp(split.paraphrased_logps)
