"""Membership by loss over compressed length: answers that any model can predict count less.

    AUC of s = -(1/n) sum_t log p(y_t | x, y_<t) / |zlib(y)|

Carlini et al., "Extracting Training Data from Large Language Models" (2021). |zlib(y)| is the length in bytes of the
UTF-8 text of what is scored (an answer, or the whole window of a raw document), compressed at the default level. Read
it like `loss_auc`.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(paper="2012.07805", targets={"privacy": "baseline"}, range=(0.0, 1.0), aggregate="auc", group="privacy", shown=False)
def zlib_auc(forget: Measured, holdout: Measured) -> tuple[np.ndarray, np.ndarray]:
    return _scores(forget), _scores(holdout)


def _scores(split: Measured) -> np.ndarray:
    return -split.mean_logps / split.compressed_lengths
