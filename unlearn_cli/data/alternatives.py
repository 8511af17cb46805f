"""Alternative answers to the forget questions, for methods that train towards them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from unlearn_cli.data.example import Example
from unlearn_cli.data.shipped_texts import drawn, refusals
from unlearn_cli.errors import UnlearnError

# Ends the prompt from which the model generates an alternative; the question and its true answer stand above it.
INSTRUCTION = "Write another answer to this question, of the same kind, with plausible facts other than the given ones."


def words(text: str) -> str:
    """A text's words in lower case, joined by single spaces, without punctuation. A text without words stays as it is."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())) or text.strip()


def same_answer(text: str, answer: str) -> bool:
    """Whether both texts consist of the same words."""
    return words(text) == words(answer)


def repeats_answer(text: str, answer: str) -> bool:
    """Whether the text contains the words of the answer in a row."""
    return f" {words(answer)} " in f" {words(text)} "


def alternative_prompt(example: Example) -> Example:
    """The prompt from which the model generates an alternative: question, true answer and instruction.

    As in Mekala et al. (2024). Given the question alone, a model that knows the row would generate the true answer.
    """
    request = f"Question: {example.prompt}\nAnswer: {example.answer}\n{INSTRUCTION}"
    return Example(example.id, (*example.turns[:-1], ("user", request)), "-", "messages", place=example.place)


def differing(
    examples: Iterable[Example], hint: str = "give them other 'alternatives' in the forget data"
) -> tuple[Example, ...]:
    """The examples without alternatives that equal the true answer.

    An answer preferred over itself gives a constant loss and no gradient.

    Raises:
        UnlearnError: a row with a question has no other alternative.
    """
    filtered = tuple(
        replace(e, alternatives=tuple(a for a in e.alternatives if not same_answer(a, e.answer))) for e in examples
    )
    without = [e.where for e in filtered if e.style != "text" and not e.alternatives]
    if without:
        listed = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        raise UnlearnError(f"{len(without)} rows have no alternative that differs from their answer ({listed})", hint)
    return filtered


def with_refusals(examples: Iterable[Example], *, seed: int, count: int = 1) -> tuple[Example, ...]:
    """Give `count` different refusals to every example without alternatives.

    The draw depends on the seed and the example's content, not on its place among the examples.

    Raises:
        ValueError: `count` is larger than the number of refusals.
    """
    if not 1 <= count <= len(refusals()):
        raise ValueError(f"count must be from 1 to {len(refusals())}, not {count}")
    return tuple(
        example if example.alternatives else replace(example, alternatives=drawn(refusals(), example, seed, count))
        for example in examples
    )


def with_mismatched(
    examples: Iterable[Example], donors: Sequence[Example], *, seed: int, count: int = 1
) -> tuple[Example, ...]:
    """Replace every example's alternatives by `count` different answers of `donors`."""
    mismatched = []
    for example in examples:
        deck = sorted({donor.answer for donor in donors if not same_answer(donor.answer, example.answer)})
        mismatched.append(replace(example, alternatives=drawn(deck, example, seed, min(count, len(deck)))))
    return tuple(mismatched)


def with_perturbed(
    examples: Iterable[Example], donors: Sequence[Example], *, seed: int, count: int = 1
) -> tuple[Example, ...]:
    """Replace every example's alternatives by its perturbed answers, or by answers of `donors` if it has none."""
    examples = tuple(examples)
    mismatched = with_mismatched(examples, donors, seed=seed, count=count)
    return tuple(
        replace(example, alternatives=example.perturbed) if example.perturbed else mismatch
        for example, mismatch in zip(examples, mismatched, strict=True)
    )
