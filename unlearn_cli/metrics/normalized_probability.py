"""Probability of the true answer among the answers on offer.

    P(right) / (P(right) + sum_j P(wrong_j)),   P normalized for length

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024), which reports it as the probability on real
authors and world facts. Rows without wrong answers have no value. open-unlearning adds 1e-10 to the denominator.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2401.06121",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max", "general": "max"},
    range=(0.0, 1.0),
    shown=False,
)
def normalized_probability(split: Measured) -> np.ndarray:
    if split.perturbed_logps is None:
        return np.full(split.rows, np.nan)
    ratios = np.exp(split.perturbed_logps - split.mean_logps[:, None])
    known = ~np.isnan(ratios).all(1)
    return np.where(known, 1 / (1 + np.nansum(ratios, axis=1)), np.nan)
