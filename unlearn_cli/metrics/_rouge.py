"""ROUGE between true and generated answers, by the scorer of Google Research."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

from unlearn_cli.contract import parameter

Tokenizer = Annotated[
    Literal["latin", "unicode"],
    parameter("latin: runs of a-z and 0-9, as everywhere in the literature; unicode: words of any script"),
]
Stem = Annotated[bool, parameter("Porter-stem words of more than three letters: on in TOFU, off in MUSE")]
UNDEFINED = (
    "half or more of their letters are not a-z; --metric-parameter ROUGE.tokenizer=unicode counts words of any script"
)
# Scripts without spaces between words: every character counts as one.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+"
)


class _Unicode:
    def __init__(self, stem: bool) -> None:
        self.stemmer = PorterStemmer() if stem else None

    def tokenize(self, text: str) -> list[str]:
        words = _WORD.findall(text.lower())
        return [self.stemmer.stem(w) if self.stemmer and len(w) > 3 else w for w in words]


def rouge(
    references: Sequence[str | None],
    generations: Sequence[str | None],
    *,
    kind: Literal["rouge1", "rougeL"],
    part: Literal["recall", "fmeasure"],
    stem: bool,
    tokenizer: str,
) -> np.ndarray:
    """[R] scores; NaN where there is no true or no generated answer, or the tokenizer cannot read the true one."""
    unicode = tokenizer == "unicode"
    scorer = RougeScorer([kind], use_stemmer=stem, tokenizer=_Unicode(stem) if unicode else None)
    scores = np.full(len(references), np.nan)
    for row, (reference, text) in enumerate(zip(references, generations, strict=True)):
        if reference is not None and text is not None and (unicode or latin(reference)):
            scores[row] = getattr(scorer.score(reference, text)[kind], part)
    return scores


def latin(text: str) -> bool:
    """More than half of the text's letters and digits are a-z or 0-9."""
    counted = [c for c in text.lower() if c.isalnum()]
    return 2 * sum(c.isascii() for c in counted) > len(counted)
