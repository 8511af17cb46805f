"""The application: every command, and what holds for all of them."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Annotated, Any

import typer

from unlearn_cli import __version__
from unlearn_cli.cli import chat, compare, demo, env, evaluate, forget, listing, merge, push, relearn_attack, report, sweep

COMMANDS: tuple[ModuleType, ...] = (
    forget, evaluate, compare, relearn_attack, chat, sweep, merge, push, demo, listing, report, env,
)  # fmt: skip
WITH_SETTINGS = (forget, evaluate, compare, relearn_attack, chat, sweep, merge, push, demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def build(wanted: str | None = None) -> typer.Typer:
    """The application, whole, or with the options of the command `wanted` alone.

    Declaring the hundred options of commands that are not called would triple the time of `unlearn --help`.
    """
    app = typer.Typer(
        name="unlearn",
        help="Make a language model forget chosen examples, and prove what happened.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def _all(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    for module in COMMANDS:
        if module in WITH_SETTINGS and wanted is not None and wanted not in module.NAMES:
            app.command(module.NAMES[0], help=module.HELP, rich_help_panel="Commands")(_nothing)
        else:
            module.add(app)
    return app


def _nothing() -> None:
    """Stands for a command whose options are not needed, only its help text."""


def __getattr__(name: str) -> Any:
    if name == "app":
        return build()
    raise AttributeError(name)


def main() -> None:
    """The console script."""
    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    build(None if "_UNLEARN_COMPLETE" in os.environ else first)()
