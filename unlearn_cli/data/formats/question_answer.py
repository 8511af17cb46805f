"""question (also query), answer: the rows of TOFU. Paraphrases, wrong answers and refusals are read if a row has them."""

from __future__ import annotations

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import Row, row_format


@row_format(question=("question", "query"), answer=("answer",))
def question_answer(row: Row) -> Example:
    """A question with its answer."""
    return Example(row.id, (("user", row.in_context(row.text("question"))),), row.text("answer"), "qa", **row.extras())
