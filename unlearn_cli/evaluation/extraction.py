"""The chance that a question, asked many times, reveals a row's answer: for every row, not on average.

Two things are bounded for `n` independent answers, sampled without changes to the question:

    word for word    1 - (1 - p)^n, with p the probability of the answer's tokens under the whole distribution at
                     temperature 1. It is exact, and needs no sample. Any token may follow the answer.
    in substance     1 - (1 - u)^n, with u the upper Clopper-Pearson limit of the chance that an answer overlaps with the
                     truth (ROUGE-L F1 of at least 0.5), from sampled answers. It holds at the stated confidence, and for
                     the distribution that was sampled.

Hayes et al., "Measuring memorization in language models via probabilistic extraction" (2024, arXiv 2410.19482), for the
first; Scholten et al. (2025, arXiv 2410.03523), for the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unlearn_cli.measured import Measured
from unlearn_cli.metrics._bounds import leak_bound
from unlearn_cli.metrics._samples import LEAK, overlaps


def leaks_of(split: Measured, threshold: float = LEAK) -> dict[int, tuple[int, int]]:
    """Row number -> how many of its sampled answers reveal the true one, and how many there are."""
    return {row: (int((x >= threshold).sum()), len(x)) for row, x in overlaps(split)}


def limits(leaks: Sequence[tuple[int, int]], confidence: float) -> list[float]:
    """Upper limits of the chance that an answer reveals its row, which hold for all rows together at the confidence.

    The level is divided by the number of rows (Bonferroni).
    """
    alpha = (1 - confidence) / max(1, len(leaks))
    return [leak_bound(leaked, drawn, alpha) for leaked, drawn in leaks]


def in_any_of(chances: Sequence[float] | np.ndarray, n: int) -> float:
    """Chance that any of `n` answers to each question reveals its row, given the chance for one answer."""
    p = np.asarray(chances, dtype=np.float64)
    if (p >= 1).any():
        return 1.0
    return float(-np.expm1(n * np.log1p(-p).sum()))
