"""ROUGE-1 recall of the greedy answer: the share of the true answer's words that the model says, in any order.

    R = |words of gold that are in generated| / |gold|,   each counted as often as it occurs

Lin, "ROUGE" (2004); stemming and recall as in TOFU (Maini et al., 2024). Read it like `rouge_l`.
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
def rouge_1(split: Measured, *, stem: Stem = True, tokenizer: Tokenizer = "latin") -> np.ndarray:
    return rouge(split.references, split.generations, kind="rouge1", part="recall", stem=stem, tokenizer=tokenizer)
