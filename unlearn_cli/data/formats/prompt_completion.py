"""prompt, completion (also response or answer): each a text or a list of messages."""

from __future__ import annotations

from unlearn_cli.data.example import Example, Style
from unlearn_cli.data.formats._row import Row, answer_of, row_format


@row_format(prompt=("prompt",), completion=("completion", "response", "answer"))
def prompt_completion(row: Row) -> Example:
    """A prompt and its completion."""
    answered = row.turns("completion", "assistant")
    answer = answer_of(answered, row.columns["completion"])
    style: Style = "messages" if row.is_chat("prompt") or row.is_chat("completion") else "completion"
    prompt = row.turns("prompt", "user") if row.is_chat("prompt") else (("user", row.in_context(row.text("prompt"))),)
    reasoning = row.reasoning_of("completion")
    return Example(row.id, (*prompt, *answered[:-1]), answer, style, reasoning=reasoning, **row.extras())
