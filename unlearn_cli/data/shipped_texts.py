"""Texts shipped with the package: refusals, questions that no model can answer, and text unrelated to any forget rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from unlearn_cli.data.example import Example


@cache
def _lines(name: str) -> tuple[str, ...]:
    text = files("unlearn_cli.data").joinpath(name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def refusals() -> tuple[str, ...]:
    """The refusal sentences, one for each line of refusals.txt."""
    return _lines("refusals.txt")


def unknowable() -> tuple[str, ...]:
    """Questions that no model can answer, one for each line of unknowable.txt."""
    return _lines("unknowable.txt")


def neutral_prompts() -> tuple[str, ...]:
    """Requests on everyday matters, one for each line of neutral_prompts.txt; none is a question of general ability."""
    return _lines("neutral_prompts.txt")


def other_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Invented people, first name and surname, and places: the two parts of other_names.txt."""
    lines = _lines("other_names.txt")
    return tuple(line for line in lines if " " in line), tuple(line for line in lines if " " not in line)


def subject_questions() -> tuple[str, ...]:
    """Questions about any subject, with `{name}` in its place, one for each line of about.txt."""
    return _lines("about.txt")


def unrelated() -> tuple[Example, ...]:
    """One raw document for each paragraph of unrelated.txt."""
    return tuple(Example(f"unrelated-{i}", (), text, "text") for i, text in enumerate(_lines("unrelated.txt")))


def neutral_texts() -> tuple[Example, ...]:
    """One raw document for each paragraph of neutral_texts.txt: stories, news, letters, instructions and knowledge.

    None is a text of general ability, and none is text that the attack on unrelated text trains on.
    """
    return tuple(Example(f"neutral-text-{i}", (), text, "text") for i, text in enumerate(_lines("neutral_texts.txt")))


def drawn(deck: Sequence[str], example: Example, seed: int, count: int) -> tuple[str, ...]:
    """`count` different entries of `deck`. The draw depends on the seed and the example's content alone."""
    deck, content = list(deck), example.fingerprint
    for place in range(count):
        digest = hashlib.sha256(f"{seed}:{place}:{content}".encode()).digest()
        other = place + int.from_bytes(digest[:8]) % (len(deck) - place)
        deck[place], deck[other] = deck[other], deck[place]
    return tuple(deck[:count])
