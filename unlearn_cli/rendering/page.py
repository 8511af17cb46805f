"""A comparison as one HTML page that needs nothing else: no script, no link, no network."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from unlearn_cli.rendering.cells import heading_lines


def page(**content: Any) -> str:
    """The page; `content` is what `templates/compare.html.jinja` names."""
    templates = Environment(
        loader=PackageLoader("unlearn_cli.rendering"), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["lines"] = heading_lines
    return templates.get_template("compare.html.jinja").render(**content)
