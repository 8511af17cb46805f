"""text (also document or content): raw documents, as in MUSE and WMDP."""

from __future__ import annotations

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import Row, row_format


@row_format(text=("text", "document", "content"))
def text(row: Row) -> Example:
    """A raw document; all of it is scored."""
    return Example(row.id, (), row.text("text"), "text")
