"""Truth ratio with wrong answers averaged arithmetically, as the TOFU paper defines it.

    R = mean_j P(wrong_j) / P(right),   row score min(R, 1/R) on forget rows, max(0, 1 - R) on others

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024). The paper prints this form, and its scripts
compute that of `truth_ratio`. Neither is a monotone function of the other, so forget quality differs as well. Say which
one you report.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._truth import LegacyEps, aggregated, log_ratio


@metric(
    paper="2401.06121",
    targets={"forget": "baseline", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
    shown=False,
)
def truth_ratio_arith(split: Measured, *, legacy_eps: LegacyEps = False) -> np.ndarray:
    ratio = log_ratio(split, arithmetic=True, legacy_eps=legacy_eps)
    return aggregated(ratio, split.split, legacy_eps=legacy_eps)
