"""Share of generated answers that say nothing at all.

    e = 1 where the answer has no character but white space, else 0

A model that answers nothing scores well on every overlap with the true answer: look here before believing a low ROUGE-L.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(targets={"forget": "min", "retain": "min"}, range=(0.0, 1.0), generates=True, fluency=True)
def empty_answers(split: Measured) -> np.ndarray:
    return np.array([np.nan if text is None else float(not text.strip()) for text in split.generations])
