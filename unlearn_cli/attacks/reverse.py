"""Reverse query: the model is given the answer and asked for the question.

    judged by the probability of the true question after "Which question does this answer? ..."

Jin et al., "RWKU" (2024). A fact that is hidden in one direction may be found from the other. Models that never saw
such questions answer few of them in any case: compare with the original under the same attack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack
from unlearn_cli.data.example import Example


def reversed_(example: Example) -> Example:
    """Question and answer change places."""
    if not example.turns:
        return example
    question = f"Which question does this answer? {example.answer}"
    return replace(example, turns=(*example.turns[:-1], ("user", question)), answer=example.prompt)


@attack(along="wording", paper="2406.10890", access="queries")
def reverse(target: Target) -> Iterator[Point]:
    with target.active():
        yield target.measure("reverse", [reversed_(e) for e in target.data.eval_forget], retain=False)
