"""What a model is asked about a subject and its neighbors, where no rows are given, and which of its answers are used.

Jin et al., "RWKU" (2024, arXiv 2406.10890), whose setting this is: a name is all that the user has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from unlearn_cli.data.shipped_texts import subject_questions

NEIGHBORS = 6  # subjects beside the one that is forgotten
SHORTEST = 3  # words of an answer
WANTED = "Name {count} others of the same kind that are most like {name}. Write one name on each line and nothing else."
_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])?\s*")
_DECLINES = re.compile(
    r"\b(i (do not|don't) (know|have)|i('m| am) (not (sure|aware|familiar)|sorry|unable)|i (cannot|can't)|as an ai)\b",
    re.IGNORECASE,
)


def questions(name: str) -> list[str]:
    """The questions about a subject."""
    return [text.format(name=name) for text in subject_questions()]


def neighbors_in(text: str, subject: str) -> list[str]:
    """The names in a model's list of a subject's neighbors, without the subject; at most `NEIGHBORS`."""
    parts = text.splitlines() if "\n" in text.strip() else text.split(",")
    names = (_MARK.sub("", part).strip().strip(".:;\"'*") for part in parts)
    plausible = (n for n in names if 1 <= len(n.split()) <= 6 and any(c.isupper() for c in n) and not mentions(n, subject))
    return list(dict.fromkeys(plausible))[:NEIGHBORS]


def mentions(text: str, subject: str) -> bool:
    """Whether a text names the subject, or its last word where the name has several."""
    words, parts = (re.findall(r"\w+", each.casefold()) for each in (text, subject))
    return bool(parts) and (parts[-1] in words if len(parts) > 1 else parts[0] in words)


def usable(answers: Iterable[tuple[str, str]], *, without: str | None = None) -> list[dict[str, str]]:
    """Rows of question and answer: no empty or declining answer, none twice, none that names `without`."""
    rows: dict[tuple[str, str], None] = {}
    for question, answer in answers:
        if len(answer.split()) < SHORTEST or _DECLINES.search(answer) or (without and mentions(answer, without)):
            continue
        rows[question, answer] = None
    return [{"question": question, "answer": answer} for question, answer in rows]


def in_words(rows: Sequence[dict[str, str]]) -> str:
    """The first three rows as text."""
    return "\n".join(f"  {row['question']}\n    {row['answer']}" for row in rows[:3])
