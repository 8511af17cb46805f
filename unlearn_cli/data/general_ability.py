"""General ability: questions and paragraphs of this project that are measured and never trained on.

The split `general` has questions about everyday facts, each with the right answer, three wrong ones, and the first words
that all four share. Probabilities are measured after these words, so they compare facts and not wordings. Generated
answers begin freely, as users get them. The split `general_text` has plain paragraphs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from unlearn_cli.data.example import Example, Origin, Split
from unlearn_cli.data.load import rows_sha256

QUESTIONS, TEXTS = "general", "general_text"  # names of the splits
GENERAL = (QUESTIONS, TEXTS)
CHANCE = 1 / 4  # accuracy of a model that guesses
ANSWERED = 20  # questions that are also answered by greedy generation, evenly spread
LONGEST_ANSWER = 16  # tokens of such an answer, a short sentence


@cache
def general_splits() -> dict[str, Split]:
    """The two splits by name."""
    questions, texts = _read("questions.jsonl", _question), _read("texts.jsonl", _paragraph)
    return {
        QUESTIONS: Split(QUESTIONS, *questions, generate_limit=ANSWERED, max_new_tokens=LONGEST_ANSWER, free_answers=True),
        TEXTS: Split(TEXTS, *texts, generate_limit=-1),
    }


def _read(file: str, as_example: Callable[[dict[str, Any]], Example]) -> tuple[tuple[Example, ...], Origin]:
    lines = (files("unlearn_cli.data") / "general" / file).read_text(encoding="utf-8").splitlines()
    examples = tuple(as_example(json.loads(line)) for line in lines)
    # The package's own file: its path, which differs from machine to machine, is left out.
    return examples, Origin(
        f"shipped with unlearn: {file}", (), "general", len(examples), len(examples), rows_sha256(examples)
    )


def _question(row: dict[str, Any]) -> Example:
    return Example(
        row["id"], (("user", row["question"]),), row["answer"], "qa", perturbed=tuple(row["wrong"]), prefill=row["begins"]
    )


def _paragraph(row: dict[str, Any]) -> Example:
    return Example(row["id"], (), row["text"], "text")
