"""Retain rows that the model writes itself before it forgets: the prompts, which answers are used, and how they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from unlearn_cli.data.alternatives import words
from unlearn_cli.data.example import Example, Origin, Split, Style, Turn
from unlearn_cli.data.load import rows_sha256
from unlearn_cli.data.neighbors import names, neighbors, people_in
from unlearn_cli.data.shipped_texts import neutral_prompts
from unlearn_cli.jsonfile import read_kept, read_shaped

AUTO = "auto"  # --retain auto
FORMAT = "written by the model"
FILE = "written_retain.json"  # in the run folder
NEIGHBORS = 64  # prompts of the forget rows' form
NEUTRAL = "neutral"  # begins the ids of the rows on everyday matters
LONG_WORD = 4  # letters: shorter words tell no answer from another


def prompts(forget: Sequence[Example]) -> tuple[Example, ...]:
    """What the model is asked, without answers: questions of the forget rows' form about other names, and neutral ones."""
    return (*neighbors(forget, NEIGHBORS), *neutral())


def neutral() -> tuple[Example, ...]:
    """The shipped everyday prompts, without answers."""
    return tuple(Example(f"{NEUTRAL}-{i}", (("user", text),), "", "qa") for i, text in enumerate(neutral_prompts()))


def as_split(name: str, examples: Sequence[Example]) -> Split:
    """A split of written rows, or of prompts that are yet to be answered."""
    examples = tuple(examples)
    origin = Origin(AUTO, (), FORMAT, len(examples), len(examples), rows_sha256(examples))
    return Split(name, examples, origin, generate_limit=-1 if name == "retain_trained" else None)


def is_unanswered(split: Split) -> bool:
    """Whether a split holds prompts that the model is yet to answer."""
    return split.origin.spec == AUTO and not any(example.answer for example in split.examples)


def is_neutral(example: Example) -> bool:
    """Whether a written row is no question of the forget rows' form."""
    return example.id.startswith(NEUTRAL)


def answered(prompt: Example, answer: str) -> Example:
    """The prompt with the model's answer; the beginning of a raw document becomes one."""
    if prompt.style == "continuation":
        return Example(prompt.id, (), f"{prompt.prompt} {answer}", "text")
    return replace(prompt, answer=answer)


class Secrets:
    """What forget rows say, by which a written row is known that says the same."""

    def __init__(self, forget: Sequence[Example]) -> None:
        texts = [text for row in forget for text in (row.prompt, row.answer)]
        self._answers = {words(row.answer) for row in forget}
        self._facts = [facts for row in forget if (facts := _facts(row.answer, row.prompt))]
        self._names = people_in(texts, names(texts)).union(*(_names(row.answer, row.prompt) for row in forget))

    def shared_by(self, prompt: str, answer: str) -> bool:
        """Whether an answer is a forget row's, holds all that one says beyond its question, or names what one names."""
        facts = _facts(answer, prompt)
        return (
            words(answer) in self._answers
            or bool(_names(answer, prompt) & self._names)
            or any(of_row <= facts for of_row in self._facts)
        )


def _facts(answer: str, prompt: str) -> frozenset[str]:
    """The longer words and the numbers of an answer that its prompt does not hold."""
    long = (word for word in words(answer).split() if len(word) >= LONG_WORD or word.isdigit())
    return frozenset(long) - frozenset(words(prompt).split())


def _names(answer: str, prompt: str) -> frozenset[str]:
    """The names in an answer that its prompt does not hold."""
    return names([answer]) - frozenset(prompt.replace("?", " ").replace(",", " ").split())


def dumps(key: str, splits: Mapping[str, Sequence[Example]]) -> str:
    """Written rows as JSON; `key`: of what they were written from."""
    rows = {
        name: [{"id": e.id, "turns": e.turns, "answer": e.answer, "style": e.style} for e in examples]
        for name, examples in splits.items()
    }
    return json.dumps({"key": key, "rows": rows}, ensure_ascii=False, indent=1) + "\n"


class StoredRow(BaseModel):
    """A row of `dumps`."""

    id: str
    turns: tuple[Turn, ...]
    answer: str
    style: Style


class Stored(BaseModel):
    """What `dumps` writes."""

    key: str
    rows: dict[Literal["retain", "retain_trained"], list[StoredRow]]

    def examples(self) -> dict[str, tuple[Example, ...]]:
        """The rows by split."""
        return {name: tuple(Example(**dict(row)) for row in rows) for name, rows in self.rows.items()}


def read(path: Path) -> dict[str, tuple[Example, ...]]:
    """The rows in a file of `dumps`, by split; empty if there is none.

    Raises:
        UnlearnError: the file is broken.
    """
    hint = "restore it from a copy of the run; or remove it, and the retain rows are not measured"
    return read_shaped(path, Stored, hint).examples() if path.is_file() else {}


def read_own(path: Path, key: str) -> dict[str, tuple[Example, ...]] | None:
    """The rows in a file of `dumps` that has this key, by split; None if there is none or it is broken."""
    stored = read_kept(path, Stored)
    return stored.examples() if stored and stored.key == key else None
