"""Comparing runs by their rows: paired bootstrap, seeds, and which runs no other beats. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# 0.975 quantiles of Student's t, by degrees of freedom; in between they are all but straight in 1 / freedom.
FREEDOM = np.array([1.0, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 1e9])
T_975 = np.array([
    12.7062, 8.6488, 6.0167, 4.3027, 3.5747, 3.1824, 2.7764, 2.5706,
    2.4469, 2.3060, 2.2281, 2.1314, 2.0860, 2.0423, 2.0003, 1.96,
])  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Mean of (one - other) over the rows that both have a value for, and over the seeds of each."""

    value: float
    ci: tuple[float, float] | None  # 95 %; None for a single row, which says nothing of others
    rows: int
    seeds: tuple[int, int] = (1, 1)

    @property
    def noise(self) -> bool:
        """The interval holds 0: no difference was found."""
        return self.ci is not None and self.ci[0] <= 0 <= self.ci[1]


def difference(one: np.ndarray, other: np.ndarray, *, samples: int, seed: int) -> Difference | None:
    """The difference of two configurations on the same rows; None without a row that all have a value for.

    One run against one run: a percentile bootstrap over rows, paired. It says whether these two runs differ on rows like
    these; another seed may turn it round, and it cannot know. Of few rows a percentile interval is far too narrow: its ends
    are moved out by t_{R-1} / z * sqrt(R / (R - 1)), the expanded percentile interval (Hesterberg 2015, What Teachers Should
    Know About the Bootstrap, The American Statistician 69:371-386, arXiv:1411.5279) as a factor. Simulated, 5 to 7 % of
    configurations that are alike in truth are then called different, from 2 rows on. With exponential noise it is up to
    13 %, and so it is of two or three rows of a metric that is 0 or 1, whose differences may all be equal by chance.

    Several seeds: resampling two or three seeds gives intervals that are far too narrow, so the seeds' part is a t-interval
    instead. The variance of the row bootstrap (of the means over seeds, rows paired) and the variances s^2 / S of the seeds'
    means are added, with Welch and Satterthwaite's degrees of freedom. A single run against several has no spread of its
    own, and is taken to have theirs.

    Args:
        one: [S, R] or [R] values of S seeds on R rows, NaN where a row has none.
        other: [S', R] or [R] the same rows of the other configuration.
        samples: bootstrap resamples.
        seed: of the resampling.
    """
    one, other = np.atleast_2d(one), np.atleast_2d(other)
    both = one.mean(axis=0) - other.mean(axis=0)
    kept = ~np.isnan(both)
    if not kept.any():
        return None
    both = both[kept]
    draws = np.random.default_rng(seed).integers(len(both), size=(samples, len(both)))
    means, value = both[draws].mean(axis=1), float(both.mean())
    made = {"rows": len(both), "seeds": (len(one), len(other))}
    of_seeds = _seed_variances(one[:, kept].mean(axis=1), other[:, kept].mean(axis=1))
    freedom = len(both) - 1
    if not freedom:
        return Difference(value, None, **made)
    unbiased = len(both) / freedom  # resampled means vary by (R - 1) / R of what the mean does
    if not of_seeds:
        wider = unbiased**0.5 * _t(freedom) / T_975[-1]
        low, high = (value + wider * float(end - value) for end in np.percentile(means, [2.5, 97.5]))
        return Difference(value, (low, high), **made)
    half = _half_width([(float(means.var()) * unbiased, freedom), *of_seeds])
    return Difference(value, (value - half, value + half), **made)


def _seed_variances(one: np.ndarray, other: np.ndarray) -> list[tuple[float, int]]:
    """Variance of a mean over seeds and its degrees of freedom, for each side [S]; empty where neither has several."""
    known = [values for values in (one, other) if len(values) > 1]
    if len(known) == 2:
        return [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in known]
    return [(float(values.var(ddof=1)) * (1 + 1 / len(values)), len(values) - 1) for values in known]


def _half_width(parts: Sequence[tuple[float, int]]) -> float:
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(variance**2 / own for variance, own in parts)
    return _t(freedom) * total**0.5


def _t(freedom: float) -> float:
    """The 0.975 quantile of Student's t, without scipy."""
    return float(np.interp(1 / freedom, 1 / FREEDOM[::-1], T_975[::-1]))


Way = Literal["min", "max"]


def front(points: Sequence[tuple[float | None, float | None]], ways: tuple[Way, Way]) -> list[bool]:
    """For each point whether no other is at least as good in both and better in one; False without a value."""
    signs = [1.0 if way == "max" else -1.0 for way in ways]
    scored = [None if x is None or y is None else (signs[0] * x, signs[1] * y) for x, y in points]

    def beaten(a: tuple[float, float]) -> bool:
        return any(b is not None and b != a and b[0] >= a[0] and b[1] >= a[1] for b in scored)

    return [a is not None and not beaten(a) for a in scored]
