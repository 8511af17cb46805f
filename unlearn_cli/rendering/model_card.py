"""The README of a run folder: what was done and what it cost, never the forget text."""

from __future__ import annotations

import shlex
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from unlearn_cli.rendering.tables import has_value, interval, number
from unlearn_cli.report import RunReport


def model_card(report: RunReport) -> str:
    """The model card as Markdown with a metadata header."""
    templates = Environment(
        loader=PackageLoader("unlearn_cli.rendering"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    local = Path(report.model.model).is_absolute()
    return templates.get_template("model_card.md.jinja").render(
        report=report,
        number=number,
        has_value=has_value,
        interval=interval,
        base=None if local else report.model.model,
        command=shlex.join(["unlearn", *report.command_line]),
        four_bit=report.model.quantization == "nf4",
    )
