"""What sampled answers have in common with the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unlearn_cli.measured import Measured
from unlearn_cli.metrics._rouge import rouge

LEAK = 0.5  # ROUGE-L F1 from which on a sampled answer counts as revealing the true one


def overlaps(split: Measured) -> Iterator[tuple[int, np.ndarray]]:
    """Row number and ROUGE-L F1 [n] of each sampled answer; rows without samples or without words are left out."""
    for row, drawn in enumerate(split.samples or ()):
        if not drawn:
            continue
        x = rouge([split.references[row]] * len(drawn), drawn, kind="rougeL", part="fmeasure", stem=True, tokenizer="latin")
        if not np.isnan(x).any():
            yield row, x
