"""Membership by the difference between the model's loss and that of a model that never saw the rows.

    AUC of s = L(x) - L_baseline(x),   L the mean negative log-likelihood of an answer token

Carlini et al., "Membership Inference Attacks From First Principles" (2022) and open-unlearning, with the retain-only
model as the reference. Read it like `loss_auc`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(paper="2112.03570", targets={"privacy": "baseline"}, range=(0.0, 1.0), aggregate="auc", group="privacy")
def reference_auc(forget: Measured, holdout: Measured, baseline: Mapping[str, Measured]) -> tuple[np.ndarray, np.ndarray]:
    theirs = baseline["forget"].mean_logps, baseline["holdout"].mean_logps
    return theirs[0] - forget.mean_logps, theirs[1] - holdout.mean_logps
