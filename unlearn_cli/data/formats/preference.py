"""prompt, chosen, rejected: `rejected` is the answer to forget, `chosen` the answer to give instead."""

from __future__ import annotations

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import Row, row_format


@row_format(prompt=("prompt",), chosen=("chosen",), rejected=("rejected",))
def preference(row: Row) -> Example:
    """A prompt with the answer to forget and the answer to prefer."""
    chat = any(row.is_chat(key) for key in ("prompt", "chosen", "rejected"))
    return Example(
        row.id,
        row.turns("prompt", "user"),
        row.last_answer("rejected"),
        "messages" if chat else "completion",
        alternatives=(row.last_answer("chosen"),),
        reasoning=row.reasoning_of("rejected"),
    )
