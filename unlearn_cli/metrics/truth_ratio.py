"""Truth ratio: how likely wrong answers are beside the right one, wrong answers averaged geometrically.

    R = exp(mean_j log P(wrong_j)) / P(right),   row score min(R, 1/R) on forget rows, max(0, 1 - R) on others

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024), in the form of their aggregation script, which
most later work uses. P is the probability normalized for length. The right answer is the paraphrased one where the data
has it. On forget rows a model that never saw them scores 0.63 to 0.69, not 1. A model that makes the right answer much
less likely than wrong ones scores low again. The ratio is computed in log space. Published code adds 1e-10, which makes
the ratio of a collapsed model 0.
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
)
def truth_ratio(split: Measured, *, legacy_eps: LegacyEps = False) -> np.ndarray:
    return aggregated(log_ratio(split, legacy_eps=legacy_eps), split.split, legacy_eps=legacy_eps)
