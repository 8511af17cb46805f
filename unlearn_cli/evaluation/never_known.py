"""The level of never having known: the probability that a model gives to answers that it never learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from unlearn_cli.measured import Measured

ROW_SHARE = 0.95  # share of never-known rows that lie below the level of a single row
REACHED = 1.05  # a mean up to this factor above the level counts as being at it
STILL_KNOWN = 0.5  # a row that keeps more than this share of its probability above the level is still known


@dataclass(frozen=True)
class NeverKnown:
    """A level of the metric `probability`, and its source."""

    level: float  # mean over the rows
    row_level: float  # nearly all rows that were never known lie below it
    source: str  # in words
    rows: int
    estimated: bool = False  # not from a model or rows that show it, so it may be far off
    chosen: bool = False  # by the user: then it says nothing of what the model knows
    every_row: bool = False  # the user bounds the likeliest row, so no row may be above it


def level_of(values: np.ndarray, source: str, *, estimated: bool = False) -> NeverKnown:
    """The level from the probabilities [R] of answers that the model cannot know."""
    mean = float(values.mean())
    return NeverKnown(mean, max(float(np.quantile(values, ROW_SHARE)), mean), source, len(values), estimated)


def holdout_level(before: Mapping[str, Measured]) -> NeverKnown | None:
    """The level from holdout rows under the model before training, by split; None if there are none."""
    return level_of(before["holdout"].probabilities, "the holdout rows") if "holdout" in before else None


def wrong_answers_level(forget: Measured) -> NeverKnown | None:
    """The level from the wrong answers in the forget rows; None if the data has none."""
    wrong = None if forget.perturbed_logps is None else forget.perturbed_logps[~np.isnan(forget.perturbed_logps)]
    if wrong is None or not wrong.size:
        return None
    return level_of(np.exp(wrong), "the wrong answers in the forget rows", estimated=True)


def likeliest_row(now: np.ndarray, before: np.ndarray, level: float, rows: int) -> float:
    """The probability of the likeliest row that counts against the target.

    A few rows may be above the level of a single row, as rows that were never known are: one in twenty. But no row may still
    be known, because a mean over many rows hides one person's answer that did not change.

    Args:
        now: probabilities [R] of the measured rows; the likeliest rows are among them.
        before: their probabilities [R] before training.
        level: the level of never having known.
        rows: number of forget rows in all.
    """
    few = int((1 - ROW_SHARE) * rows)
    known = now[still_known(now, before, level)]
    return float(max([*np.sort(now)[::-1][few : few + 1], *known], default=0.0))


def still_known(now: np.ndarray, before: np.ndarray, level: float) -> np.ndarray:
    """Whether each row [R] keeps more than `STILL_KNOWN` of its probability above the level, or rises from below it."""
    known: np.ndarray = now - level > STILL_KNOWN * (before - level)
    return known


def larger_of(wrong: NeverKnown | None, other: NeverKnown | None) -> NeverKnown | None:
    """The larger of two levels: from wrong answers, and from forget questions with other rows' answers. Names both sources.

    A model that knows the true answer gives wrong answers less probability than a model that never knew the row, because the
    true answer has the probability mass. Wrong answers are also often worded as no row is. So their level alone would be too
    low, and rows at that level would stand out.
    """
    if wrong is None or other is None:
        return wrong or other
    larger, smaller = (wrong, other) if wrong.level >= other.level else (other, wrong)
    return replace(larger, source=f"{larger.source}, more than {smaller.source} ({smaller.level:.2g})")
