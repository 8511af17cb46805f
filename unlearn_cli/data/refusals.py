"""Refusals for methods that have the forget questions answered otherwise; shipped with the package."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.resources import files

from unlearn_cli.data.example import Example


@cache
def refusals() -> tuple[str, ...]:
    """The refusal sentences, one for each line of refusals.txt."""
    text = files("unlearn_cli.data").joinpath("refusals.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def with_refusals(examples: Iterable[Example], *, seed: int, count: int = 1) -> tuple[Example, ...]:
    """Give every example without alternatives `count` different refusals.

    Which ones follows from the seed and the example's content alone, not from its place among the others.

    Raises:
        ValueError: more refusals asked for than there are.
    """
    if not 1 <= count <= len(refusals()):
        raise ValueError(f"count must be from 1 to {len(refusals())}, not {count}")
    return tuple(
        example if example.alternatives else replace(example, alternatives=_drawn(example, seed, count))
        for example in examples
    )


def _drawn(example: Example, seed: int, count: int) -> tuple[str, ...]:
    """The first `count` places of a shuffle."""
    deck, content = list(refusals()), example.fingerprint
    for place in range(count):
        digest = hashlib.sha256(f"{seed}:{place}:{content}".encode()).digest()
        other = place + int.from_bytes(digest[:8]) % (len(deck) - place)
        deck[place], deck[other] = deck[other], deck[place]
    return tuple(deck[:count])
