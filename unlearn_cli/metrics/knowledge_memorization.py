"""KnowMem: how well the model answers questions about the text.

    ROUGE-L F1 of 32 greedy tokens, cut at an empty line or the next question, after ten questions with their answers

Shi et al., "MUSE: Machine Unlearning Six-Way Evaluation for Language Models" (2024), which does not stem and counts to
100; here in [0, 1]. On retain rows it is MUSE's measure of utility.
"""

from __future__ import annotations

import re

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._rouge import UNDEFINED, Stem, Tokenizer, rouge


@metric(
    paper="2407.06460",
    targets={"forget": "min", "retain": "max"},
    range=(0.0, 1.0),
    generates=True,
    splits=("forget_knowmem", "retain_knowmem"),
    undefined=UNDEFINED,
)
def knowledge_memorization(split: Measured, *, stem: Stem = False, tokenizer: Tokenizer = "latin") -> np.ndarray:
    answers = [
        None if text is None else re.split("\n\n|\nQuestion|Question:", text)[0].strip() for text in split.generations
    ]
    return rouge(split.references, answers, kind="rougeL", part="fmeasure", stem=stem, tokenizer=tokenizer)
