"""Rows that are in two splits which must share none: forgotten and kept at once, or trained on and judging."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from unlearn_cli.data.example import Example, Split
from unlearn_cli.errors import UnlearnError


def overlapping(forget: Sequence[Example], retain: Sequence[Example]) -> list[tuple[int, int]]:
    """Indices of the forget rows that are retain rows, too, each with the index of the first equal retain row."""
    first_at: dict[str, int] = {}
    for index, example in enumerate(retain):
        first_at.setdefault(content(example), index)
    contents = map(content, forget)
    return [(index, first_at[text]) for index, text in enumerate(contents) if text in first_at]


def shared_rows(splits: Mapping[str, Split]) -> list[tuple[str, list[tuple[Example, Example]]]]:
    """Rows that are in two splits which must share none: in words, and the rows as pairs.

    What is to be forgotten is not kept, nor what an earlier run forgot (forget_1, ...): training would teach it again.
    Holdout rows, and retain rows that judge, are rows that no training has seen.
    """
    forget, holdout, judged, trained = (
        splits[name].examples if name in splits else () for name in ("forget", "holdout", "retain", "retain_trained")
    )
    retain = (*trained, *judged)
    shared = []
    earlier = [name for name in splits if re.fullmatch(r"forget_\d+", name)]
    for one, other, first, second in (
        ("forget", "retain", forget, retain),
        *((f"{name}, which an earlier run forgot,", "retain", splits[name].examples, retain) for name in earlier),
        ("holdout", "forget", holdout, forget),
        ("holdout", "retain", holdout, retain),
        ("the retain rows that judge", "those that training sees", judged, trained),
    ):
        if both := overlapping(first, second):
            rows = "1 row is" if len(both) == 1 else f"{len(both)} rows are"
            shared.append((f"{rows} in both {one} and {other}", [(first[i], second[j]) for i, j in both]))
    return shared


def check_overlap(splits: Mapping[str, Split], *, allow: bool) -> None:
    """Refuse rows that are in two splits which must share none, see `shared_rows`.

    Raises:
        UnlearnError: a row is in both splits.
    """
    if not allow and (shared := shared_rows(splits)):
        words, ((ours, theirs), *_) = shared[0]
        raise UnlearnError(
            f"{words} (first: {ours.where} = {theirs.where})",
            "remove them from one of the two, or keep them with --allow-overlap",
        )


def content(example: Example) -> str:
    """Prompt and answer of a row, without differences of case, spacing and row format."""
    turns = (text for role, text in example.turns if role != "system")
    return plain(*turns, example.reasoning, example.answer)


def plain(*texts: str) -> str:
    """Texts joined to one, in lower case and with single spaces."""
    return " ".join(" ".join(texts).casefold().split())
