"""Membership by the least likely tokens, each relative to what the model expects at its place (Min-K%++).

    AUC of s = -(mean of the lowest 40 % of z_t),   z_t = (log p(y_t) - mu_t) / sigma_t,
    mu_t = sum_v p log p, sigma_t^2 = sum_v p log^2 p - mu_t^2, at least 1e-6

Zhang et al., "Min-K%++: Improved Baseline for Detecting Pre-Training Data from Large Language Models" (2024). Read it
like `loss_auc`.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._membership import Share, lowest


@metric(paper="2404.02936", targets={"privacy": "baseline"}, range=(0.0, 1.0), aggregate="auc", group="privacy")
def min_k_plus_plus_auc(forget: Measured, holdout: Measured, *, k: Share = 0.4) -> tuple[np.ndarray, np.ndarray]:
    return lowest(_standardized(forget), forget, k), lowest(_standardized(holdout), holdout, k)


def _standardized(split: Measured) -> np.ndarray:
    return (split.token_logps - split.mu) / np.maximum(split.sigma, 1e-3)
