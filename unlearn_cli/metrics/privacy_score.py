"""Priv: how close four membership attacks come to their result on a model that never saw the rows.

    HM over attacks of clip(1 - |AUC - AUC_baseline| / AUC_baseline, 0, 1),   attacks: loss, zlib, Min-K, Min-K++

Dorna et al., "OpenUnlearning" (2025), which gives no formula for one attack's score; this one is that of a later
repository. At 1 no attack tells the two models apart. Below 1 too little or too much was forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._aggregate import harmonic
from unlearn_cli.metrics._ranking import known_auc
from unlearn_cli.metrics.loss_auc import loss_auc
from unlearn_cli.metrics.min_k_auc import min_k_auc
from unlearn_cli.metrics.min_k_plus_plus_auc import min_k_plus_plus_auc
from unlearn_cli.metrics.zlib_auc import zlib_auc


@metric(
    paper="2506.12618",
    targets={"aggregate": "max"},
    range=(0.0, 1.0),
    group="aggregate",
    undefined="one of the four attacks has no AUC here or under the baseline",
    shown=False,
)
def privacy_score(forget: Measured, holdout: Measured, baseline: Mapping[str, Measured]) -> tuple[float, dict[str, float]]:
    parts = {}
    for attack in (loss_auc, zlib_auc, min_k_auc, min_k_plus_plus_auc):
        auc = known_auc(*attack(forget, holdout))
        baseline_auc = known_auc(*attack(baseline["forget"], baseline["holdout"]))
        parts[attack.name] = (
            float(np.clip(1 - abs(auc - baseline_auc) / baseline_auc, 0, 1)) if baseline_auc else float("nan")
        )
    return harmonic(parts.values()), parts
