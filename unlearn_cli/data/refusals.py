"""Refusals for methods that answer the forget questions otherwise; shipped with the package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from unlearn_cli.data.example import Example


@cache
def refusals() -> tuple[str, ...]:
    """The refusal sentences."""
    text = files("unlearn_cli.data").joinpath("refusals.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.split("\n") if line)


def with_refusals(examples: Sequence[Example], *, seed: int, count: int) -> tuple[Example, ...]:
    """Give every example without alternatives `count` different refusals, drawn by seed and content."""
    return tuple(e if e.alternatives else replace(e, alternatives=_drawn(e, seed, count)) for e in examples)


def _drawn(example: Example, seed: int, count: int) -> tuple[str, ...]:
    def rank(sentence: str) -> bytes:
        return hashlib.sha256(f"{seed}:{example.fingerprint}:{sentence}".encode()).digest()

    return tuple(sorted(refusals(), key=rank)[:count])
