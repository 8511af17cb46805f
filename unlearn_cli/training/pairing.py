"""Which rows a step sees: a pure function of seed and step, so that a resumed run equals an uninterrupted one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

FORGET, RETAIN = 0, 1  # streams of random numbers


@lru_cache(maxsize=8)
def _shuffled(seed: int, stream: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch]).permutation(rows)


def _draw(seed: int, stream: int, rows: int, first: int, count: int) -> list[tuple[int, int]]:
    """(pass, row) at `count` places from `first` on, in an endless sequence of shuffled passes over `rows`."""
    places = (divmod(place, rows) for place in range(first, first + count))
    return [(epoch, int(_shuffled(seed, stream, epoch, rows)[at])) for epoch, at in places]


class Draws(Protocol):
    """Which rows a step sees."""

    @property
    def forget_rows(self) -> int:
        """Number of forget rows to draw from."""

    @property
    def batch(self) -> int:
        """Forget rows of one optimizer step."""

    def forget(self, step: int) -> list[tuple[int, int]]:
        """(pass, row) of the forget rows of a step; the pass chooses among a row's alternatives."""

    def retain(self, step: int) -> list[int]:
        """Retain rows of a step."""


@dataclass(frozen=True)
class Pairing:
    """Forget and retain rows of every step. Each pass over a split sees each of its rows once."""

    seed: int
    forget_rows: int
    retain_rows: int  # 0: none are drawn
    batch: int  # forget rows of one optimizer step
    retain_batch: int  # retain rows of one optimizer step

    def forget(self, step: int) -> list[tuple[int, int]]:
        """(pass, row) of the forget rows of a step; the pass chooses among a row's alternatives."""
        return _draw(self.seed, FORGET, self.forget_rows, step * self.batch, self.batch)

    def retain(self, step: int) -> list[int]:
        """Retain rows of a step."""
        if self.retain_rows == 0:
            return []
        drawn = _draw(self.seed, RETAIN, self.retain_rows, step * self.retain_batch, self.retain_batch)
        return [row for _, row in drawn]

    def steps(self, epochs: float) -> int:
        """Optimizer steps of `epochs` passes over the forget rows, at least one."""
        return max(1, round(epochs * self.forget_rows / self.batch))


@dataclass(frozen=True)
class Subset:
    """A pairing over some of the rows, whose row numbers are those among all rows."""

    pairing: Pairing
    forget_places: tuple[int, ...]
    retain_places: tuple[int, ...]

    @property
    def forget_rows(self) -> int:
        """Number of rows to draw from."""
        return self.pairing.forget_rows

    @property
    def batch(self) -> int:
        """Forget rows of one optimizer step."""
        return self.pairing.batch

    def forget(self, step: int) -> list[tuple[int, int]]:
        """(pass, row) of the forget rows of a step."""
        return [(epoch, self.forget_places[row]) for epoch, row in self.pairing.forget(step)]

    def retain(self, step: int) -> list[int]:
        """Retain rows of a step."""
        return [self.retain_places[row] for row in self.pairing.retain(step)]
