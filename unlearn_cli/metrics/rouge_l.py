"""ROUGE-L recall of the greedy answer: how much of the true answer, in order, the model says.

    R = LCS(gold, generated) / |gold|,   over Porter-stemmed lower-case words

Lin, "ROUGE" (2004); stemming and recall as in TOFU (Maini et al., 2024). Recall does not punish rambling. The tokenizer
keeps only a-z and 0-9, so text in other scripts scores 0 and has no value here.
"""

from __future__ import annotations

import re

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(
    paper="2401.06121",
    targets={"forget": "min", "retain": "max", "real_authors": "max", "world_facts": "max"},
    range=(0.0, 1.0),
    generates=True,
)
def rouge_l(split: Measured) -> np.ndarray:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return np.array([_recall(scorer, g, t) for g, t in zip(split.golds, split.generations, strict=True)])


def _recall(scorer: RougeScorer, gold: str, generated: str | None) -> float:
    if generated is None or not re.search("[a-z0-9]", gold.lower()):
        return np.nan
    return scorer.score(gold, generated)["rougeL"].recall
