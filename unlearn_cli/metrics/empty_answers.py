"""Share of generated answers that are empty.

    e = 1 where the answer has no character but white space, else 0

An empty answer has no overlap with the true one. So a low ROUGE-L means forgetting only if this share is low too.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(targets={"forget": "min", "retain": "min"}, range=(0.0, 1.0), generates=True, fluency=True)
def empty_answers(split: Measured) -> np.ndarray:
    return np.array([np.nan if text is None else float(not text.strip()) for text in split.generations])
