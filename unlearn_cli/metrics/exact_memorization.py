"""Share of answer tokens that the model would have chosen itself, given the true ones before them.

    EM = (1/n') sum_t 1[argmax_v p(v | x, y_<t) = y_t],   the token that ends the answer left out

Tirumala et al., "Memorization Without Overfitting" (2022). A row whose answer is only this last token has no value.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2205.10770",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
    shown=False,
)
def exact_memorization(split: Measured) -> np.ndarray:
    is_argmax = [split.is_argmax[split.body(row)] for row in range(split.rows)]
    return np.array([h.mean() if len(h) else np.nan for h in is_argmax])
