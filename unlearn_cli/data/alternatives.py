"""Other answers to the forget questions, for methods that have them answered otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from unlearn_cli.data.example import Example
from unlearn_cli.data.refusals import drawn, refusals


def with_refusals(examples: Iterable[Example], *, seed: int, count: int = 1) -> tuple[Example, ...]:
    """Give every example without alternatives `count` different refusals.

    Which ones follows from the seed and the example's content alone, not from its place among the others.

    Raises:
        ValueError: more refusals asked for than there are.
    """
    if not 1 <= count <= len(refusals()):
        raise ValueError(f"count must be from 1 to {len(refusals())}, not {count}")
    return tuple(
        example if example.alternatives else replace(example, alternatives=drawn(refusals(), example, seed, count))
        for example in examples
    )


def with_mismatched(
    examples: Iterable[Example], others: Sequence[Example], *, seed: int, count: int = 1
) -> tuple[Example, ...]:
    """Give every example the answers of `count` of `others` instead of its own, whatever alternatives it has."""
    made = []
    for example in examples:
        deck = sorted({other.answer for other in others if other.answer != example.answer})
        made.append(replace(example, alternatives=drawn(deck, example, seed, min(count, len(deck)))))
    return tuple(made)


def with_perturbed(
    examples: Iterable[Example], others: Sequence[Example], *, seed: int, count: int = 1
) -> tuple[Example, ...]:
    """Give every example its perturbed answers as alternatives, or answers of `others` where the data has none."""
    examples = tuple(examples)
    mismatched = with_mismatched(examples, others, seed=seed, count=count)
    return tuple(
        replace(example, alternatives=example.perturbed) if example.perturbed else other
        for example, other in zip(examples, mismatched, strict=True)
    )
