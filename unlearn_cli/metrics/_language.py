"""Detect answers that are no language, by their text alone: empty answers, repetition and broken words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Fault = Literal["empty", "repeated", "broken"]
FAULTS: tuple[Fault, ...] = ("empty", "repeated", "broken")

PUNCTUATION = ".,;:!?\"'()[]{}<>*_`-\u2018\u2019\u201c\u201d\u2026\u2013\u2014"
RUN = 4  # words of a run; as in the metric `repetition`
REPEATED_RUNS = 0.4  # share of runs that were said before in the answer; prose stays far below
PART = 3  # letters of a word that may stand unbroken inside another: shorter ones are syllables

# Patterns that occur in no language. A pattern in the questions or the true answers (code, markup) does not count.
SIGNS = {
    "brackets around nothing": re.compile(r"[^\W\d_](\(\)|\[\]|\{\}|<>)"),
    "brackets inside a word": re.compile(r"[^\W\d_][\[\]{}<>|\\^~][^\W\d_]"),
    "undecodable bytes": re.compile("[\ufffd\x00-\x08\x0e-\x1f\x7f]"),
    "one letter over and over": re.compile(r"([^\W\d_])\1{4}"),
    "no end of the word": re.compile(r"[A-Za-z\u00c0-\u024f]{40}"),
}
_SEAM = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")  # a capital inside a word: MossbackRuna


@dataclass(frozen=True)
class Known:
    """The questions and true answers. Their words and patterns count as correct."""

    texts: tuple[str, ...] = ()

    @cached_property
    def words(self) -> frozenset[str]:
        """Words of these texts, without case and punctuation."""
        return frozenset(word for text in self.texts for word in _words(text))

    @cached_property
    def signs(self) -> list[re.Pattern[str]]:
        """The patterns of broken words that do not occur in these texts."""
        return [sign for sign in SIGNS.values() if not any(map(sign.search, self.texts))]


def fault(text: str, known: Known = Known()) -> Fault | None:
    """The fault of an answer that is no language, the first in `FAULTS` of several; None for language.

    Args:
        text: the answer.
        known: the questions and true answers of all rows.
    """
    if not any(character.isalnum() for character in text):
        return "empty"
    if _repeats(_words(text)):
        return "repeated"
    return "broken" if broken_word(text, known) else None


def broken_word(text: str, known: Known = Known()) -> str | None:
    """The first broken word: one with a pattern of `SIGNS`, or known words joined to one (MossbackRuna, capitalcapital)."""
    for word in text.split():
        if any(sign.search(word) for sign in known.signs) or _glued(word.strip(PUNCTUATION), known.words):
            return word
    return None


def _words(text: str) -> list[str]:
    """Words without case and without the punctuation around them."""
    return [word for part in text.casefold().split() if (word := part.strip(PUNCTUATION))]


def _glued(word: str, known: frozenset[str]) -> bool:
    if word.casefold() in known:
        return False
    parts = _SEAM.split(word)
    if len(parts) > 1:
        return all(len(part) >= PART and part.casefold() in known for part in parts)
    folded = word.casefold()
    sizes = (size for size in range(PART, len(folded) // 2 + 1) if len(folded) % size == 0)
    return any(folded[:size] in known and folded == folded[:size] * (len(folded) // size) for size in sizes)


def _repeats(words: list[str]) -> bool:
    """Whether a run of words repeats: over the whole answer, or more often in succession than in ordinary text.

    Allowed are two equal words (that that), three in an answer of six words or more, and a pair that comes twice.
    """
    for size in range(1, len(words) // 2 + 1):
        times = _in_succession(words, size)
        allowed = {1: 3 if len(words) >= 6 else 2, 2: 2}.get(size, 1)
        if times > allowed or (times > 1 and times * size == len(words)):
            return True
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    return len(runs) > 2 * RUN and 1 - len(set(runs)) / len(runs) >= REPEATED_RUNS


def _in_succession(words: list[str], size: int) -> int:
    """The largest number of times that a run of `size` words follows itself."""
    longest = equal = 0
    for place in range(size, len(words)):
        equal = equal + 1 if words[place] == words[place - size] else 0
        longest = max(longest, equal)
    return 1 + longest // size


def counted(texts: Iterable[Fault | None]) -> dict[str, float]:
    """Number of answers with each fault."""
    faults = list(texts)
    return {name: float(faults.count(name)) for name in FAULTS}
