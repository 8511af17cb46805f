"""Documents made from templates: the model card of a run folder, and a comparison as one HTML page."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from unlearn_cli.console import visible
from unlearn_cli.rendering.compare import heading_lines
from unlearn_cli.rendering.svg import COLORS
from unlearn_cli.rendering.tables import has_value, interval, number
from unlearn_cli.report import RunReport

_environment = partial(
    Environment,
    loader=PackageLoader("unlearn_cli.rendering"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: visible(value) if type(value) is str else value,  # text of a stranger obeys nobody
)


def model_card(report: RunReport) -> str:
    """The model card as Markdown with a metadata header: what was done and what it cost, never the forget text."""
    assert report.model is not None  # a run has loaded one
    local = Path(report.model.model).is_absolute()
    templates = _environment(autoescape=False, keep_trailing_newline=True)
    return templates.get_template("model_card.md.jinja").render(
        report=report,
        number=number,
        has_value=has_value,
        interval=interval,
        base=None if local else report.model.model,
        command=shlex.join(["unlearn", *report.command_line]),
        four_bit=report.model.quantization == "nf4",
    )


def config_file(**content: object) -> str:
    """A commented config file of `unlearn forget`; `content` is what `templates/forget.yaml.jinja` names."""
    templates = _environment(autoescape=False, keep_trailing_newline=True)
    return templates.get_template("forget.yaml.jinja").render(**content)


def record_page(**content: object) -> str:
    """The record of a run without scripts, links or network; `content` is what `templates/record.html.jinja` names."""
    return _environment(autoescape=True).get_template("record.html.jinja").render(**content)


def comparison_page(**content: object) -> str:
    """A page without scripts, links or network; `content` is what `templates/compare.html.jinja` names."""
    templates = _environment(autoescape=True)
    templates.filters["lines"] = heading_lines
    return templates.get_template("compare.html.jinja").render(colors=COLORS, **content)
