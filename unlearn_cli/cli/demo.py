"""`unlearn demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import DemoConfig
    from unlearn_cli.console import Reporter

NAME = "demo"
SETTINGS = "DemoConfig"
HELP = """Forget, evaluate and compare on an embedded model: no network, no GPU, some seconds.

A tiny model has memorized invented people. It forgets two of them with NPO. The result is compared with a baseline: a
model that was trained without the two. One question, six scores in words and the verdict are shown; --html writes a page.

[bold]Examples[/]

  unlearn demo

  unlearn demo --keep ./unlearn-demo --html demo.html
"""


def run(config: DemoConfig, _sources: dict[str, str], argv: list[str], reporter: Reporter) -> None:
    from unlearn_cli.recipes import demo  # noqa: PLC0415 - the lazy boundary
    from unlearn_cli.report import dumps  # noqa: PLC0415

    report, path = demo.run(config, argv, reporter)
    reporter.data(dumps(report) if config.json_output else str(path))
