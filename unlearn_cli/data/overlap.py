"""Rows that are to be forgotten and kept at once."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError


def _content(example: Example) -> tuple[str, str]:
    """What is asked and answered, whatever its case and spacing."""
    asked = " ".join(content for _, content in example.turns)
    return " ".join(asked.casefold().split()), " ".join(example.answer.casefold().split())


def overlapping(forget: Sequence[Example], retain: Sequence[Example]) -> list[tuple[int, int]]:
    """Pairs of indices of forget and retain rows with the same content."""
    at = {_content(example): index for index, example in enumerate(retain)}
    return [(i, at[content]) for i, content in enumerate(map(_content, forget)) if content in at]


def check_overlap(forget: Sequence[Example], retain: Sequence[Example], *, allow: bool) -> None:
    """Refuse rows that are in both splits.

    Raises:
        UnlearnError: there are some, and they are not allowed.
    """
    both = overlapping(forget, retain)
    if both and not allow:
        first, other = both[0]
        raise UnlearnError(
            f"{len(both)} rows are in both forget and retain (first: forget row {first} = retain row {other})",
            "remove them from one side, or say --allow-overlap",
        )
