"""instruction, output and optionally input (in Dolly's rows: context, response); or input and output alone."""

from __future__ import annotations

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import Row, as_text, is_missing, row_format

INPUTS = ("input", "context")


@row_format(instruction=("instruction", "input"), output=("output", "response"))
def alpaca(row: Row) -> Example:
    """An instruction with its optional input, and the output."""
    values = ((name, row.get(name)) for name in INPUTS if name != row.columns["instruction"])
    inputs = [as_text(value, f"'{name}'") for name, value in values if not is_missing(value)]
    prompt = "\n\n".join([row.text("instruction"), *inputs])
    return Example(row.id, (("user", prompt),), row.text("output"), "messages", **row.extras())
