"""`unlearn list` and `unlearn show`."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_cli.cli.plain import execute_plain

NAMES = ("list", "show")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list", rich_help_panel="Commands")(list_names)
    app.command("show", rich_help_panel="Commands")(show)


def _kinds(incomplete: str) -> list[str]:
    from unlearn_cli.recipes.catalogue import KINDS  # noqa: PLC0415 - the lazy boundary

    return [*KINDS, "benchmarks"]


def _names(incomplete: str) -> list[str]:
    from unlearn_cli.cli.completion import every_name  # noqa: PLC0415 - the lazy boundary

    return every_name(incomplete)


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="methods, retain-terms, robust-rules, metrics, attacks or benchmarks",
            metavar="KIND",
            autocompletion=_kinds,
        ),
    ] = "methods",
    json_output: Annotated[bool, typer.Option("--json", help="a JSON array of objects with name and summary")] = False,
) -> None:
    """List methods, retain terms, metrics and the like, one to a line."""

    def run(reporter) -> None:
        from unlearn_cli.recipes import catalogue  # noqa: PLC0415 - the lazy boundary

        if json_output:
            reporter.data(catalogue.dumps(kind))
            return
        for line in catalogue.lines(kind):
            reporter.data(line)

    execute_plain(run)


def show(
    name: Annotated[
        str, typer.Argument(help="a method, retain term, metric or attack", metavar="NAME", autocompletion=_names)
    ],
) -> None:
    """Show a method's or metric's formula, parameters, defaults and paper."""

    def run(reporter) -> None:
        from unlearn_cli.recipes import catalogue  # noqa: PLC0415 - the lazy boundary

        reporter.data(catalogue.page(name))

    execute_plain(run)
