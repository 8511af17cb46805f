"""What the membership metrics share: scores that are larger for rows the model has not seen."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from unlearn_cli.contract import parameter
from unlearn_cli.measured import Measured

Share = Annotated[
    float, parameter("share of an answer's tokens: 0.4 in MUSE and open-unlearning, 0.2 in the paper", gt=0, le=1)
]


def lowest(values: np.ndarray, split: Measured, share: float) -> np.ndarray:
    """[R] minus the mean of each row's lowest share of `values` [n], at least one; NaN for a row without tokens
    or with one that has no value: sorting would put that last, out of sight."""
    scores = np.full(split.rows, np.nan)
    for row in range(split.rows):
        row_values = np.sort(values[split.body(row)].astype(np.float64))
        if len(row_values) and not np.isnan(row_values[-1]):
            scores[row] = -row_values[: max(1, int(share * len(row_values)))].mean()
    return scores
