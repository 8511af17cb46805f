"""The truth ratio in log space: how likely wrong answers are beside the right one."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from unlearn_cli.contract import parameter
from unlearn_cli.measured import Measured


def log_ratio(split: Measured, *, arithmetic: bool = False, legacy_eps: bool = False) -> np.ndarray:
    """[R] log of (wrong answers' probability / right answer's), both normalized for length; NaN without wrong answers.

    The right answer is the paraphrased one where there is one, as in TOFU. Wrong answers are averaged geometrically, or
    arithmetically.
    """
    if split.perturbed_logps is None:
        return np.full(split.rows, np.nan)
    right, wrong = right_logps(split), split.perturbed_logps
    counts = (~np.isnan(wrong)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        summed = np.log(np.nansum(np.exp(wrong), axis=1)) - np.log(counts)
        mean = summed if arithmetic else np.nansum(wrong, axis=1) / counts
        ratio = np.where(counts > 0, mean - right, np.nan)
    return with_eps(ratio, right) if legacy_eps else ratio


LegacyEps = Annotated[bool, parameter("add 1e-10 to denominators, as published code does; only to reproduce its values")]
EPS = 1e-10


def with_eps(ratio: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Log ratios as published code has them: log (W / (C + 1e-10)) with C the right answer's probability."""
    return ratio - np.log1p(EPS / np.exp(np.maximum(right, -700.0)))


def right_logps(split: Measured) -> np.ndarray:
    """[R] mean log-probability of the right answer's tokens: the paraphrased one's where there is one."""
    if split.paraphrased_logps is None:
        return split.mean_logps
    return np.where(np.isnan(split.paraphrased_logps), split.mean_logps, split.paraphrased_logps)


def aggregated(ratio: np.ndarray, split: str, *, legacy_eps: bool = False) -> np.ndarray:
    """TOFU's score of a row from its log ratio: min(R, 1/R) on forget rows, max(0, 1 - R) on all others."""
    if legacy_eps and split.startswith("forget"):
        with np.errstate(over="ignore", divide="ignore"):
            return np.minimum(np.exp(ratio), 1 / (np.exp(ratio) + EPS))
    with np.errstate(over="ignore"):
        return np.exp(-np.abs(ratio)) if split.startswith("forget") else np.maximum(0.0, 1.0 - np.exp(ratio))
