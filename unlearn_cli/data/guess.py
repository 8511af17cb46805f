"""Guess which columns of a table hold questions and answers, by their names and by what stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from unlearn_cli.data.columns import columns_of
from unlearn_cli.data.files import find_files
from unlearn_cli.data.hub_spec import PREFIX
from unlearn_cli.data.load import load_split
from unlearn_cli.data.readers import READERS
from unlearn_cli.errors import UnlearnError

QUESTIONS = ("question", "q", "query", "prompt", "instruction", "input", "user")
ANSWERS = ("answer", "a", "response", "reply", "completion", "output", "target", "assistant")
ENDS = ("?", "？", "؟")
HALF = 0.5  # of a column's values that end as a question does


def guess_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Our key -> the user's column; empty where no column looks like questions, as in a table of facts."""
    columns = columns_of(rows)
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    question = next((by_name[name] for name in QUESTIONS if name in by_name), None)
    question = question or next((column for column in columns if _asks(rows, column)), None)
    if question is None:
        return {"text": columns[0]} if len(columns) == 1 else {}
    answer = next((by_name[name] for name in ANSWERS if by_name.get(name, question) != question), None)
    others = [column for column in columns if column != question]
    answer = answer or max(others, key=lambda column: _length(rows, column), default=None)
    return {"question": question, "answer": answer} if answer else {}


def columns_for(name: str, spec: str, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns to rename so that a known format fits: those given, or guessed ones where none are and none fits.

    Raises:
        UnlearnError: the rows cannot be used; for a table of facts the hint says how to make rows of it.
    """
    try:
        load_split(name, spec, columns=columns, limit=1)
        return dict(columns)
    except UnlearnError as error:
        if columns or spec.startswith(PREFIX):
            raise
        rows = raw_rows(name, spec)
        guessed = guess_columns(rows)
        if guessed:
            return guessed
        have = columns_of(rows)
        if "no row format fits" not in error.message or len(have) < 2:
            raise
        example = f"What is the {have[1]} of {{{have[0]}}}? => The {have[1]} of {{{have[0]}}} is {{{have[1]}}}."
        way = (error.hint or "").partition("; ")[0]
        raise UnlearnError(
            f"{name} data: {spec} is a table of facts: no column of {', '.join(have)} holds questions",
            f"make rows of it with `unlearn init` and --ask '{example}'; or, if there are questions, {way}",
        ) from None


def raw_rows(name: str, spec: str) -> list[Mapping[str, Any]]:
    """The rows of local files as they stand there. Raises UnlearnError if they cannot be read."""
    return [row for file in find_files(name, spec) for row in READERS[file.suffix.lower()](file)]


def _asks(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    values = [str(row.get(column) or "").strip() for row in rows]
    return sum(value.endswith(ENDS) for value in values) > HALF * len(values)


def _length(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    return fmean(len(value) if isinstance(value := row.get(column), str) else 0 for row in rows)
