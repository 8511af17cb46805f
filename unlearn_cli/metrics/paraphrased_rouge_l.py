"""ROUGE-L recall of the greedy answer against the paraphrased true answer.

    R = LCS(paraphrase, generated) / |paraphrase|

Dorna et al., "OpenUnlearning" (2025). The value shows how much of the fact is left where only the wording was
suppressed. Rows without a paraphrased answer have no value.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._rouge import UNDEFINED, Stem, Tokenizer, rouge


@metric(
    paper="2506.12618",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
    generates=True,
    undefined=UNDEFINED,
    shown=False,
)
def paraphrased_rouge_l(split: Measured, *, stem: Stem = True, tokenizer: Tokenizer = "latin") -> np.ndarray:
    if split.paraphrases is None:
        return np.full(split.rows, np.nan)
    return rouge(split.paraphrases, split.generations, kind="rougeL", part="recall", stem=stem, tokenizer=tokenizer)
