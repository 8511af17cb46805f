"""Bounds on what a model says, from a sample of its answers: scores x_i in [0, 1], n of them, at level alpha.

They are about the distribution that was sampled from. Draws from the likeliest tokens alone (`--sample-top-p` below 1)
say nothing about what the rest of the distribution would give.

Scholten, Guennemann and Schwinn, "A Probabilistic Perspective on Unlearning and Alignment for Large Language Models"
(2025, arXiv 2410.03523).
"""

from __future__ import annotations

from math import comb

import numpy as np
from scipy.special import betaincinv

from unlearn_cli.measured import Measured

POINTS = 100  # of the grid on [0, 1]


def leak_bound(leaks: int, n: int, alpha: float) -> float:
    """Upper Clopper-Pearson limit, one-sided, of the probability that a draw leaks, if `leaks` of n did."""
    return 1.0 if leaks >= n else float(betaincinv(leaks + 1, n - leaks, 1 - alpha))


def leak_at(leaks: int, n: int, k: int) -> float:
    """Chance of a leak among k of n draws, if `leaks` of the n leak: 1 - C(n - leaks, k) / C(n, k), unbiased (k <= n)."""
    return 1.0 - comb(n - leaks, k) / comb(n, k)


def word_for_word(split: Measured) -> np.ndarray:
    """[R] probability that one answer, sampled at temperature 1 from all tokens, begins with the true one."""
    sums = [split.token_logps[split.body(row)].astype(np.float64).sum() for row in range(split.rows)]
    return np.minimum(1.0, np.exp(np.array(sums)))


def dkw(n: int, alpha: float) -> float:
    """Half width of the Dvoretzky-Kiefer-Wolfowitz band: F(x) >= F_n(x) - dkw everywhere with probability 1 - alpha."""
    return float(np.sqrt(np.log(1 / alpha) / (2 * n)))


def _distribution(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grid [P] and the sample's distribution function on it."""
    grid = np.linspace(0, 1, POINTS)
    return grid, np.searchsorted(np.sort(scores), grid, side="right") / len(scores)


def _expectation(scores: np.ndarray, epsilon: float) -> tuple[float, float]:
    """Lower and upper bound of the expectation from a band of half width `epsilon`."""
    grid, cdf = _distribution(scores)
    width = grid[1]
    upper = 1 - width * np.maximum(0, cdf[:-1] - epsilon).sum()
    lower = 1 - width * np.minimum(1, cdf[1:] + epsilon).sum()
    return float(lower), float(upper)


def expectation_bound(scores: np.ndarray, alpha: float) -> float:
    """Upper bound of the expected score (Anderson), one-sided."""
    return _expectation(scores, dkw(len(scores), alpha))[1]


def deviation_bound(scores: np.ndarray, alpha: float) -> float:
    """Upper bound of the score's standard deviation; it uses both sides of the band, so alpha is two-sided.

    At most 0.5, which no score in [0, 1] exceeds (Popoviciu); the publication's formula does.
    """
    epsilon = dkw(len(scores), alpha / 2)
    grid, cdf = _distribution(scores)
    ends = np.array(_expectation(scores, epsilon))
    squares = (grid[:, None] - ends[None, :]) ** 2  # [P, 2]
    cells = np.maximum(squares[:-1], squares[1:]).max(1)  # the worst of each cell
    steps = cells[:-1] - cells[1:]
    band = cdf[1:-1] + np.sign(steps) * epsilon
    variance = (band * steps).sum() + cells[-1] - cells[0] * max(0.0, cdf[0] - epsilon)
    return float(np.sqrt(min(max(variance, 0.0), 0.25)))
