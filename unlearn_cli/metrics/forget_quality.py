"""Forget quality: a test of whether the truth ratios differ from those of a model that never saw the rows.

    p-value of the two-sided Kolmogorov-Smirnov test between {R_i} and {R_i} of the baseline, exact

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024). At 1 the test finds no difference. Compare only
values of the same rows, because the smallest possible p falls with the number of rows: it is 2 / C(2n, n). Differences
between values above 0.85 mean nothing. The details are D, log10 p and the sign of the difference of medians. The sign
is -1 if too little was forgotten, +1 if too much.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._truth import LegacyEps, log_ratio


@metric(
    paper="2401.06121",
    targets={"forget": "max"},
    range=(0.0, 1.0),
    group="forget",
    undefined="needs forget rows with wrong answers",
)
def forget_quality(
    forget: Measured, baseline: Mapping[str, Measured], *, legacy_eps: LegacyEps = False
) -> tuple[float, dict[str, float]]:
    from scipy.stats import ks_2samp  # noqa: PLC0415 - takes half a second, and a run without a baseline needs none of it

    both = (log_ratio(split, legacy_eps=legacy_eps) for split in (forget, baseline["forget"]))
    ours, theirs = (values[~np.isnan(values)] for values in both)
    if not len(ours) or not len(theirs):
        return float("nan"), {}
    test = ks_2samp(ours, theirs)
    sign = float(np.sign(np.median(ours) - np.median(theirs)))
    with np.errstate(divide="ignore"):
        return float(test.pvalue), {"D": float(test.statistic), "log10_p": float(np.log10(test.pvalue)), "sign": sign}
