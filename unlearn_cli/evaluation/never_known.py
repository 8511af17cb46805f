"""The level of never having known: the probability that a model gives to answers which it never learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unlearn_cli.measured import Measured

ROW_SHARE = 0.95  # of the rows that were never known lie below the level of a single row


@dataclass(frozen=True)
class NeverKnown:
    """A level of the metric `probability`, and its source."""

    level: float  # mean over the rows
    row_level: float  # nearly every row that was never known lies below
    source: str  # for people
    rows: int


def level_of(values: np.ndarray, source: str) -> NeverKnown:
    """The level from the probabilities [R] of answers that the model cannot know."""
    mean = float(values.mean())
    return NeverKnown(mean, max(float(np.quantile(values, ROW_SHARE)), mean), source, len(values))


def measured_level(before: Mapping[str, Measured]) -> NeverKnown | None:
    """The level from measurements before training: of holdout rows, else of the wrong answers in the forget rows.

    Args:
        before: measurements of the original model, by split.

    Returns:
        the level; None if the data has neither holdout rows nor wrong answers.
    """
    if "holdout" in before:
        return level_of(before["holdout"].probabilities, "the holdout rows")
    wrong = before["forget"].perturbed_logps
    wrong = None if wrong is None else wrong[~np.isnan(wrong)]
    return level_of(np.exp(wrong), "the wrong answers in the forget rows") if wrong is not None and wrong.size else None
