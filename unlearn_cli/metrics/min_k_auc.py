"""Membership by the least likely tokens (Min-K%).

    AUC of s = -(mean of the lowest 40 % of log p(y_t | x, y_<t)), at least one token, the end of the answer left out

Shi et al., "Detecting Pretraining Data from Large Language Models" (2023), with the share of MUSE and open-unlearning;
the paper takes 20 %. MUSE's code gives no value for a text of fewer than three tokens. Read it like `loss_auc`.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._membership import Share, lowest


@metric(paper="2310.16789", targets={"privacy": "baseline"}, range=(0.0, 1.0), aggregate="auc", group="privacy", shown=False)
def min_k_auc(forget: Measured, holdout: Measured, *, k: Share = 0.4) -> tuple[np.ndarray, np.ndarray]:
    return lowest(forget.token_logps, forget, k), lowest(holdout.token_logps, holdout, k)
