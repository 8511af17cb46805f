"""The application: every command, and what holds for all of them."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Annotated, Any

import typer

from unlearn_cli import __version__
from unlearn_cli.cli import (
    chat,
    clean,
    compare,
    demo,
    env,
    evaluate,
    forget,
    listing,
    merge,
    push,
    relearn_attack,
    report,
    sweep,
)
from unlearn_cli.cli.help import App
from unlearn_cli.errors import EXIT_FAILED, EXIT_PIPE

COMMANDS: tuple[ModuleType, ...] = (
    forget, evaluate, compare, relearn_attack, chat, sweep, merge, push, clean, demo, listing, report, env,
)  # fmt: skip
WITH_SETTINGS = (forget, evaluate, compare, relearn_attack, chat, sweep, merge, push, clean, demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def build(wanted: str | None = None) -> typer.Typer:
    """The application, whole, or with the options of the command `wanted` alone.

    Declaring the hundred options of commands that are not called would triple the time of `unlearn --help`.
    """
    app = App(
        name="unlearn",
        help="Make a language model forget chosen examples, and prove what happened.",
        no_args_is_help=True,
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
    """The console script. A reader that has gone, as with `| head`, is no error; a stdout that takes nothing is one."""
    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    try:
        build(None if "_UNLEARN_COMPLETE" in os.environ else first)()
    except SystemExit as stop:
        # typer and rich answer a closed pipe with an exit code of 1, which would read as a failure.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        _discard_stdout()
        raise SystemExit(EXIT_PIPE) from None
    except OSError as error:
        from unlearn_cli.console import Reporter, unwritable  # noqa: PLC0415 - rich, which a usual end does not need

        _discard_stdout()
        Reporter().error(unwritable(error))
        raise SystemExit(EXIT_FAILED) from None


def _discard_stdout() -> None:
    """Let what is still to be written go nowhere: the interpreter would complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
