"""Comparing runs by their rows: paired bootstrap, and which runs no other beats. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Difference:
    """Mean of (one - other) over the rows that both have a value for."""

    value: float
    ci: tuple[float, float]  # 95 % percentile bootstrap interval over rows
    rows: int

    @property
    def noise(self) -> bool:
        """The interval holds 0: no difference was found."""
        return self.ci[0] <= 0 <= self.ci[1]


def difference(one: np.ndarray, other: np.ndarray, *, samples: int, seed: int) -> Difference | None:
    """The difference of two runs on the same rows [R], NaN where a row has no value; None without a common row."""
    both = one - other
    both = both[~np.isnan(both)]
    if not len(both):
        return None
    draws = np.random.default_rng(seed).integers(len(both), size=(samples, len(both)))
    low, high = np.percentile(both[draws].mean(axis=1), [2.5, 97.5])
    return Difference(float(both.mean()), (float(low), float(high)), len(both))


Way = Literal["min", "max"]


def front(points: Sequence[tuple[float | None, float | None]], ways: tuple[Way, Way]) -> list[bool]:
    """For each point whether no other is at least as good in both and better in one; False without a value."""
    signs = [1.0 if way == "max" else -1.0 for way in ways]
    scored = [None if x is None or y is None else (signs[0] * x, signs[1] * y) for x, y in points]

    def beaten(a: tuple[float, float]) -> bool:
        return any(b is not None and b != a and b[0] >= a[0] and b[1] >= a[1] for b in scored)

    return [a is not None and not beaten(a) for a in scored]
