"""How results are shown at a Python prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

TableRow = dict[str, Any]  # column -> value


class Displayed:
    """A result that prints as one line, and as a table in a notebook."""

    def headline(self) -> str:
        """The result in a line."""
        raise NotImplementedError

    def table(self) -> list[TableRow]:
        """The result as rows that all have the same keys; `pandas.DataFrame(report.table())` reads them."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline()}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.headline())}</p>{_html(self.table())}"


def short(value: Any) -> str:
    """A value in a few characters; nothing for None."""
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.0005 or abs(value) >= 1000 else f"{value:.3f}"
    return "" if value is None else str(value)


def _html(rows: Sequence[TableRow]) -> str:
    """Columns without any value are left out."""
    names = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(short(row[name]))}</td>" for name in names) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
