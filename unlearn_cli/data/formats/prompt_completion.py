"""prompt, completion (also response or answer): each a text or a list of messages.

A list of two plain texts is a pair, as in RWKU and LLaMA-Factory: first what to say instead, then what is to be forgotten.
"""

from __future__ import annotations

from unlearn_cli.data.example import Example, Style
from unlearn_cli.data.formats._row import BadRow, Row, answer_of, row_format


@row_format(prompt=("prompt",), completion=("completion", "response", "answer"))
def prompt_completion(row: Row) -> Example:
    """A prompt and its completion."""
    if row.is_texts("completion"):
        return _pair(row)
    answered = row.turns("completion", "assistant")
    answer = answer_of(answered, row.columns["completion"])
    style: Style = "messages" if row.is_chat("prompt") or row.is_chat("completion") else "completion"
    prompt = row.turns("prompt", "user") if row.is_chat("prompt") else (("user", row.in_context(row.text("prompt"))),)
    reasoning = row.reasoning_of("completion")
    return Example(row.id, (*prompt, *answered[:-1]), answer, style, reasoning=reasoning, **row.extras())


def _pair(row: Row) -> Example:
    """A prompt with a list of one answer, or of what to say instead and the answer to forget."""
    texts = row.texts("completion")
    if len(texts) > 2:
        raise BadRow(f"'{row.columns['completion']}' is a list of {len(texts)} answers; one, or a pair, is expected")
    extras = row.extras() | ({"alternatives": texts[:1]} if len(texts) == 2 else {})
    return Example(row.id, row.turns("prompt", "user"), texts[-1], "completion", **extras)
