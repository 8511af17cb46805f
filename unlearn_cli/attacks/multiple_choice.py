"""Multiple choice: the true answer stands among the data's wrong ones, and the model names its letter.

    judged by the probability of the right letter,   chance: one over the number of answers

Jin et al., "RWKU" (2024). Recognition outlives recall. The order of the answers follows from the row. Rows without wrong
answers keep their question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack
from unlearn_cli.data.example import Example
from unlearn_cli.data.formats.multiple_choice import LETTERS
from unlearn_cli.errors import UnlearnError


def as_choice(example: Example) -> Example:
    """The example as a question with lettered answers, in an order that follows from its content."""
    if not example.perturbed or not example.turns:
        return example
    offered = sorted(
        {example.answer, *example.perturbed[: len(LETTERS) - 1]},
        key=lambda text: hashlib.sha256(f"{example.fingerprint}{text}".encode()).digest(),
    )
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, offered, strict=False))
    question = f"{example.prompt}\n{listed}\nAnswer:"
    right = LETTERS[offered.index(example.answer)]
    return replace(example, turns=(*example.turns[:-1], ("user", question)), answer=right, style="choice", perturbed=())


@attack(along="wording", paper="2406.10890", access="queries")
def multiple_choice(target: Target) -> Iterator[Point]:
    if not any(example.perturbed for example in target.data.eval_forget):
        raise UnlearnError("multiple-choice: no forget row has wrong answers (perturbed_answer)", "leave this attack out")
    with target.active():
        yield target.measure("multiple choice", [as_choice(e) for e in target.data.eval_forget], retain=False)
