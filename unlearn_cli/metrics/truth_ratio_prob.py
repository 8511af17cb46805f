"""Truth ratio as a probability: the right answer's share against wrong ones.

    P(right) / (P(right) + W) = 1 / (1 + R),   W the geometric mean of the wrong answers' probabilities

Dorna et al., "OpenUnlearning" (2025), there `prob_mean`. The value is 0.5 where right and wrong are equally likely. The
published code adds 1e-10 to denominators; here the value is a sigmoid of -log R.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._truth import EPS, LegacyEps, log_ratio, right_logps


@metric(
    paper="2506.12618",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
    shown=False,
)
def truth_ratio_prob(split: Measured, *, legacy_eps: LegacyEps = False) -> np.ndarray:
    with np.errstate(over="ignore"):
        added = EPS * np.exp(-right_logps(split)) if legacy_eps else 0.0
        return 1 / (1 + np.exp(log_ratio(split)) + added)
