"""ROUGE-L F1 of the greedy answer: recall of the true answer, lowered if the model writes more than that.

    F1 = 2 P R / (P + R),   R = LCS(gold, generated) / |gold|,   P = LCS(gold, generated) / |generated|

Lin, "ROUGE" (2004). A model that does not stop has a high recall and a low F1. Published values of the two differ
threefold on one model, so say which one you report. Read it like `rouge_l`.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._rouge import UNDEFINED, Stem, Tokenizer, rouge


@metric(
    paper="2401.06121",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
    generates=True,
    undefined=UNDEFINED,
    shown=False,
)
def rouge_l_f1(split: Measured, *, stem: Stem = True, tokenizer: Tokenizer = "latin") -> np.ndarray:
    return rouge(split.references, split.generations, kind="rougeL", part="fmeasure", stem=stem, tokenizer=tokenizer)
