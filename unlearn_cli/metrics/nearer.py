"""Nearer: a test of whether the model is nearer to one that never saw the rows than to the one before unlearning.

    d_r = |l_r - l_r(before)| - |l_r - l_r(baseline)|,   l_r the mean log-probability of a token of row r's answer
    p-value of the one-sided Wilcoxon signed-rank test of d > 0

A two-sample test against one retrained model also rejects a second retrained model, because no two trainings give the
same model. The model before unlearning is the third sample. It shows how large a difference due to forgetting is.
Ribero et al., "Regularized f-Divergence Kernel Tests" (2026) compare samples of outputs by kernels; here all models
answer the same rows, so the rows are paired, and the test needs no kernel. A small p means that the model is nearer to
the baseline than chance explains. A p near 1 means that it is nearer to the model before. Rows with d = 0 are left out.
An over-forgotten model can be distant from both. The details give both distances, in nats a token, and the share of
rows that are nearer to the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2601.19755",
    targets={"forget": "min"},
    range=(0.0, 1.0),
    group="forget",
    shown=False,
    undefined="every row is as far from the model before as from the baseline",
)
def nearer(
    forget: Measured, before: Mapping[str, Measured], baseline: Mapping[str, Measured]
) -> tuple[float, dict[str, float]]:
    from scipy.stats import wilcoxon  # noqa: PLC0415 - takes half a second, and a run without a baseline needs none of it

    own = forget.mean_logps
    to_before, to_baseline = (np.abs(own - other["forget"].mean_logps) for other in (before, baseline))
    difference = to_before - to_baseline
    if not difference.any():
        return float("nan"), {}
    details = {
        "distance_before": float(to_before.mean()),
        "distance_baseline": float(to_baseline.mean()),
        "nearer_rows": float((difference > 0).mean()),
    }
    return float(wilcoxon(difference, alternative="greater").pvalue), details
