"""Entropy of word pairs and triples in the generated answers, in bits: how varied the language is.

    H = H_2 / 3 + 2 H_3 / 3,   H_n = -sum f log2 f over the frequencies f of an answer's n-word runs

Jin et al., "RWKU: Benchmarking Real-World Knowledge Unlearning for Large Language Models" (2024), over words between
spaces. It grows with length: compare it with the value before. Answers of fewer than three words have no value.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured


@metric(paper="2406.10890", targets={}, range=(0.0, float("inf")), generates=True, fluency=True, shown=False)
def ngram_entropy(split: Measured) -> np.ndarray:
    return np.array([_entropy(text) for text in split.generations])


def _entropy(text: str | None) -> float:
    words = (text or "").split()
    return _bits(words, 2) / 3 + 2 * _bits(words, 3) / 3 if len(words) >= 3 else np.nan


def _bits(words: list[str], n: int) -> float:
    counts = np.array(list(Counter(zip(*(words[i:] for i in range(n)), strict=False)).values()), dtype=np.float64)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
