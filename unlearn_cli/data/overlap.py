"""Rows that are in both the forget and the retain split."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError


def overlapping(forget: Sequence[Example], retain: Sequence[Example]) -> list[tuple[int, int]]:
    """Indices of the forget rows that are retain rows, too, each with the index of the first equal retain row."""
    first_at: dict[str, int] = {}
    for index, example in enumerate(retain):
        first_at.setdefault(content(example), index)
    contents = map(content, forget)
    return [(index, first_at[text]) for index, text in enumerate(contents) if text in first_at]


def check_overlap(forget: Sequence[Example], retain: Sequence[Example], *, allow: bool) -> None:
    """Refuse rows that are in both splits, unless they are allowed.

    Raises:
        UnlearnError: a row is in both splits.
    """
    if allow:
        return
    both = overlapping(forget, retain)
    if both:
        ours, theirs = forget[both[0][0]].where, retain[both[0][1]].where
        rows = "1 row is" if len(both) == 1 else f"{len(both)} rows are"
        raise UnlearnError(
            f"{rows} in both forget and retain (first: {ours} = {theirs})",
            "remove them from one of the two, or keep them with --allow-overlap",
        )


def content(example: Example) -> str:
    """Prompt and answer of a row, without differences of case, spacing and row format."""
    turns = (text for role, text in example.turns if role != "system")
    return plain(*turns, example.reasoning, example.answer)


def plain(*texts: str) -> str:
    """Texts joined to one, in lower case and with single spaces."""
    return " ".join(" ".join(texts).casefold().split())
