"""ROUGE-L recall of the greedy answer: how much of the true answer, in order, the model says.

    R = LCS(gold, generated) / |gold|,   over Porter-stemmed lower-case words

Lin, "ROUGE" (2004); stemming and recall as in TOFU (Maini et al., 2024). Recall does not fall if the model writes too
much; `rouge_l_f1` does. The usual tokenizer keeps only a-z and 0-9, so text in other scripts would score 0. Such rows
are left out and counted. `tokenizer=unicode` scores them.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._rouge import UNDEFINED, Stem, Tokenizer, rouge


@metric(
    paper="2401.06121",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max", "general": "max"},
    range=(0.0, 1.0),
    generates=True,
    undefined=UNDEFINED,
)
def rouge_l(split: Measured, *, stem: Stem = True, tokenizer: Tokenizer = "latin") -> np.ndarray:
    return rouge(split.references, split.generations, kind="rougeL", part="recall", stem=stem, tokenizer=tokenizer)
