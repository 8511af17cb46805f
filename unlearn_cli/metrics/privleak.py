"""PrivLeak: membership against that of a model which never saw the forget rows.

    100 (A - A_baseline) / A_baseline,   A = 1 - AUC of Min-40%

Shi et al., "MUSE: Machine Unlearning Six-Way Evaluation for Language Models" (2024), whose AUC is the complement of
ours. 0 is best. Below 0 forget rows are still recognized, and above 0 they are over-forgotten. The range is not
symmetric: it goes from -100 to 100 (1 / A_baseline - 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._ranking import known_auc
from unlearn_cli.metrics.min_k_auc import min_k_auc


@metric(
    paper="2407.06460",
    targets={},
    range=(-100.0, float("inf")),
    group="privacy",
    undefined="Min-K% has no AUC here, or one of 1 under the baseline",
)
def privleak(forget: Measured, holdout: Measured, baseline: Mapping[str, Measured]) -> float:
    complement = 1 - known_auc(*min_k_auc(forget, holdout))
    baseline_complement = 1 - known_auc(*min_k_auc(baseline["forget"], baseline["holdout"]))
    return 100 * (complement - baseline_complement) / baseline_complement if baseline_complement else float("nan")
