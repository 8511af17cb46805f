"""messages: a conversation that ends with the assistant; also ShareGPT's conversations with from and value."""

from __future__ import annotations

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import BadRow, Row, answer_of, row_format


@row_format(messages=("messages", "conversations"))
def messages(row: Row) -> Example:
    """A conversation; its last message is the answer."""
    column = row.columns["messages"]
    if not row.is_chat("messages"):
        raise BadRow(f"'{column}' is not a list of messages: {row.text('messages')[:40]!r}")
    turns = row.turns("messages", "user")
    answer = answer_of(turns, column)
    if len(turns) < 2:
        raise BadRow(f"'{column}' holds no message before the assistant's answer")
    reasoning = row.reasoning_of("messages")
    return Example(row.id, turns[:-1], answer, "messages", reasoning=reasoning, **row.extras())
