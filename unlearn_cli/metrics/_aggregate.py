"""Harmonic means of scores, as in "OpenUnlearning" (Dorna et al., 2025, arXiv 2506.12618)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from unlearn_cli.measured import Measured
from unlearn_cli.metrics.exact_memorization import exact_memorization
from unlearn_cli.metrics.extraction_strength import extraction_strength
from unlearn_cli.metrics.paraphrased_probability import paraphrased_probability
from unlearn_cli.metrics.truth_ratio_prob import truth_ratio_prob


def harmonic(values: Iterable[float]) -> float:
    """Harmonic mean; 0 if one of the values is 0, NaN if one is missing."""
    array = np.array(list(values), dtype=np.float64)
    if np.isnan(array).any():
        return float("nan")
    return 0.0 if (array <= 0).any() else float(len(array) / (1 / array).sum())


def mean(values: np.ndarray) -> float:
    """Mean of the rows that have a value; NaN if none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def shares(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    """Each of `ours` divided by the same one of `theirs`, at most 1; NaN where one is missing or theirs is 0."""
    # np.minimum passes NaN on; min(1.0, nan) is 1.0, and what is missing would count as fully known.
    return {name: float(np.minimum(1.0, ours[name] / theirs[name])) if theirs[name] else float("nan") for name in ours}


def memory(forget: Measured) -> dict[str, float]:
    """The four measures of memory, each in [0, 1], smaller when less is known."""
    return {
        m.name: mean(m(forget)) for m in (extraction_strength, exact_memorization, paraphrased_probability, truth_ratio_prob)
    }
