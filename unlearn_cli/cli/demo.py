"""`unlearn demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from unlearn_cli.config import DemoConfig
    from unlearn_cli.console import Reporter


NAMES = ("demo",)
HELP = """Show the whole story on an embedded model: no network, no GPU, under a minute.

A tiny model that has memorised invented people forgets two of them with NPO, and is compared with a baseline: a
model that never saw them.

[bold]Examples[/]

  unlearn demo

  unlearn demo --keep ./unlearn-demo
"""


def add(app: typer.Typer) -> None:
    """Add the command, with an option for each of its settings."""
    from unlearn_cli.cli.options import command  # noqa: PLC0415 - pydantic, which the overview of commands does not need
    from unlearn_cli.config import DemoConfig  # noqa: PLC0415

    command(app, "demo", DemoConfig, _run, help=HELP)


def _run(config: DemoConfig, _sources: dict[str, str], argv: list[str], reporter: Reporter) -> None:
    from unlearn_cli.recipes import demo  # noqa: PLC0415 - the lazy boundary
    from unlearn_cli.report import dumps  # noqa: PLC0415

    report, path = demo.run(config, argv, reporter)
    reporter.data(dumps(report) if config.json_output else str(path))
