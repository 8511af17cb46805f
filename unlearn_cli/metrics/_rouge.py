"""ROUGE between true and generated answers, by the scorer of Google Research."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Annotated, Literal

import numpy as np

from unlearn_cli.contract import parameter
from unlearn_cli.metrics._rouge_score import PorterStemmer, RougeScorer, tokenize

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


TEXTS = 10_000  # texts whose words are kept: each is scored by several metrics, before and after


class _Words:
    """The words of texts, as `RougeScorer` asks for them."""

    def __init__(self, *, stem: bool, unicode: bool) -> None:
        stems = lru_cache(10 * TEXTS)(PorterStemmer().stem)
        self.stemmer, self.unicode = SimpleNamespace(stem=stems) if stem else None, unicode
        self.tokenize = lru_cache(TEXTS)(self._tokenize)

    def _tokenize(self, text: str) -> list[str]:
        if not self.unicode:
            return tokenize(text, self.stemmer)
        words = _WORD.findall(text.lower())
        return [self.stemmer.stem(w) if self.stemmer and len(w) > 3 else w for w in words]


@cache
def _words(*, stem: bool, unicode: bool) -> _Words:
    return _Words(stem=stem, unicode=unicode)


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
    scorer = RougeScorer([kind], tokenizer=_words(stem=stem, unicode=unicode))
    scores = np.full(len(references), np.nan)
    for row, (reference, text) in enumerate(zip(references, generations, strict=True)):
        if reference is not None and text is not None and (unicode or latin(reference)):
            scores[row] = getattr(scorer.score(reference, text)[kind], part)
    return scores


def latin(text: str) -> bool:
    """More than half of the text's letters and digits are a-z or 0-9."""
    counted = [c for c in text.lower() if c.isalnum()]
    return 2 * sum(c.isascii() for c in counted) > len(counted)
