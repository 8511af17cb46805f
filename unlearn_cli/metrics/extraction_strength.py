"""How little of the answer must be given until greedy decoding writes the rest.

    ES = 1 - k/n',   k the smallest prefix of the answer after which every remaining token is the most probable one

Carlini et al., "Extracting Training Data from Large Language Models" (2021), in the form of Wang et al., "Towards
Effective Evaluations and Comparisons for LLM Unlearning Methods" (2025). At 1 the question alone is enough. At 0 not
even the last token follows. The value is exact for greedy decoding. Where it is 0 open-unlearning's code gives 1/n',
because it never tries the whole answer as the prefix. The token that ends the answer is left out. A row without any
other token has no value.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2406.09179",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
)
def extraction_strength(split: Measured) -> np.ndarray:
    return np.array([_strength(split.is_argmax[split.body(row)]) for row in range(split.rows)])


def _strength(is_argmax: np.ndarray) -> float:
    if len(is_argmax) == 0:
        return np.nan
    misses = np.flatnonzero(~is_argmax)
    prefix = misses[-1] + 1 if len(misses) else 0
    return 1.0 - prefix / len(is_argmax)
