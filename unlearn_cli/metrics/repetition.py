"""Repetition in the generated answers: the share of four-word runs that were said before in the same answer.

    r = 1 - distinct four-word runs / four-word runs

The value is 0 for ordinary prose, and near 1 for a model that has lost its language. Answers of fewer than four words
have no value.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(targets={"forget": "min", "retain": "min"}, range=(0.0, 1.0), generates=True, fluency=True)
def repetition(split: Measured) -> np.ndarray:
    return np.array([_repeated(text) for text in split.generations])


def _repeated(text: str | None) -> float:
    words = (text or "").split()
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len(set(runs)) / len(runs) if runs else np.nan
