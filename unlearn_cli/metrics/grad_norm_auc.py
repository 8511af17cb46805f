"""Membership by gradient: rows that a model has learned have smaller gradients.

    AUC of s = mean over parameter tensors of ||dL/dtheta_i||_2,   L the mean negative log-likelihood of an answer token

Wang et al., "Pandora's White-Box" (2024), in the form of open-unlearning. --grad-norms measures it, with one backward
pass for each row. Read it like `loss_auc`.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2402.17012",
    targets={"privacy": "baseline"},
    range=(0.0, 1.0),
    aggregate="auc",
    group="privacy",
    undefined="gradients were not measured: --grad-norms",
)
def grad_norm_auc(forget: Measured, holdout: Measured) -> tuple[np.ndarray, np.ndarray]:
    return _norms(forget), _norms(holdout)


def _norms(split: Measured) -> np.ndarray:
    return np.full(split.rows, np.nan) if split.grad_norms is None else split.grad_norms
