"""Membership by loss: how well the mean negative log-likelihood tells forget rows from rows nobody has seen.

    AUC of s = -(1/n) sum_t log p(y_t | x, y_<t),   1: every forget row is recognized, 0.5: none, below 0.5: over-forgotten

Yeom et al., "Privacy Risk in Machine Learning" (2018, arXiv 1709.01604), in the direction of open-unlearning; MUSE
reports the complement. The value means something only with a holdout of the same distribution. Compare it with that of
a model trained without the forget rows.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(paper="1709.01604", targets={"privacy": "baseline"}, range=(0.0, 1.0), aggregate="auc", group="privacy")
def loss_auc(forget: Measured, holdout: Measured) -> tuple[np.ndarray, np.ndarray]:
    return -forget.mean_logps, -holdout.mean_logps
