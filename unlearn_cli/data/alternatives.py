"""Other answers to the forget questions, for methods that have them answered otherwise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from unlearn_cli.data.example import Example
from unlearn_cli.data.shipped_texts import drawn, refusals
from unlearn_cli.errors import UnlearnError

# What the model is asked for, below the question and its true answer, when it is to make up an alternative.
INSTRUCTION = "Write another answer to this question, of the same kind, with plausible facts other than the given ones."


def words(text: str) -> str:
    """A text's words in lower case with single spaces between, no punctuation; a text without words as it stands."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())) or text.strip()


def same_answer(text: str, answer: str) -> bool:
    """Both say the same words."""
    return words(text) == words(answer)


def repeats_answer(text: str, answer: str) -> bool:
    """The words of the answer stand in the text, one after the other."""
    return f" {words(answer)} " in f" {words(text)} "


def asking_for_another(example: Example) -> Example:
    """The prompt by which the model itself writes an alternative: question, true answer, and the instruction.

    Mekala et al. (2024) ask like this. A model that knows the row answers its question alone with the truth.
    """
    request = f"Question: {example.prompt}\nAnswer: {example.answer}\n{INSTRUCTION}"
    return Example(example.id, (*example.turns[:-1], ("user", request)), "-", "messages", place=example.place)


def differing(
    examples: Iterable[Example], hint: str = "give them other 'alternatives' in the forget data"
) -> tuple[Example, ...]:
    """The examples without those alternatives that are their true answer.

    A preference for an answer over itself has a constant loss and no gradient.

    Raises:
        UnlearnError: rows that have a question and are left without an alternative.
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
    examples: Iterable[Example], donors: Sequence[Example], *, seed: int, count: int = 1
) -> tuple[Example, ...]:
    """Give every example the answers of `count` of `donors` as alternatives, in place of those it has."""
    mismatched = []
    for example in examples:
        deck = sorted({donor.answer for donor in donors if not same_answer(donor.answer, example.answer)})
        mismatched.append(replace(example, alternatives=drawn(deck, example, seed, min(count, len(deck)))))
    return tuple(mismatched)


def with_perturbed(
    examples: Iterable[Example], donors: Sequence[Example], *, seed: int, count: int = 1
) -> tuple[Example, ...]:
    """Give every example its perturbed answers as alternatives, or answers of `donors` where the data has none."""
    examples = tuple(examples)
    mismatched = with_mismatched(examples, donors, seed=seed, count=count)
    return tuple(
        replace(example, alternatives=example.perturbed) if example.perturbed else mismatch
        for example, mismatch in zip(examples, mismatched, strict=True)
    )
