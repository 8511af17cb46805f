"""VerbMem: how closely the model continues a passage as the text to forget does.

    100 x ROUGE-L F1 of 128 greedy tokens against the first 127 tokens of the true continuation

Shi et al., "MUSE: Machine Unlearning Six-Way Evaluation for Language Models" (2024), which does not stem; here in [0,
1]. open-unlearning stems, which gives another number. The published continuations are 128 tokens long, including the
token that begins every sequence. The benchmark cuts longer ones.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._rouge import UNDEFINED, Stem, Tokenizer, rouge


@metric(
    paper="2407.06460",
    targets={"forget": "min"},
    range=(0.0, 1.0),
    generates=True,
    splits=("forget_verbmem",),
    undefined=UNDEFINED,
)
def verbatim_memorization(split: Measured, *, stem: Stem = False, tokenizer: Tokenizer = "latin") -> np.ndarray:
    return rouge(split.references, split.generations, kind="rougeL", part="fmeasure", stem=stem, tokenizer=tokenizer)
