"""`unlearn env`."""

from __future__ import annotations

import typer

from unlearn_cli.cli.plain import execute_plain

NAMES = ("env",)


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("env", rich_help_panel="Commands")(env)


def env() -> None:
    """Print versions and devices as JSON, for bug reports."""

    def run(reporter) -> None:
        import json  # noqa: PLC0415

        from unlearn_cli.recipes.environment import environment  # noqa: PLC0415 - the lazy boundary

        reporter.data(json.dumps(environment(), indent=2))

    execute_plain(run)
