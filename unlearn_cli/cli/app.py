"""The application: all commands, the console script, and what both share."""

from __future__ import annotations

import gc
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
    data_check,
    demo,
    evaluate,
    forget,
    information,
    init,
    merge,
    push,
    record,
    relearn_attack,
    reproduce,
    sweep,
    verify,
)
from unlearn_cli.cli.help import App, plain_usage_errors
from unlearn_cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_PIPE, UnlearnError

# Each holds NAME, HELP, SETTINGS (the class in `unlearn_cli.config`), `run`, POSITIONAL where it has arguments, and USUAL
# where it has many options: those that `--help` shows.
WITH_SETTINGS: tuple[ModuleType, ...] = (
    forget, evaluate, compare, relearn_attack, chat, sweep, merge, push, record, verify, reproduce, clean, init, data_check,
    demo,
)  # fmt: skip

# A module with GROUP is a command of that group.
GROUPS = {"data": "Rows before a run.", "report": "The record of a run, reports as tables, and their schema."}
# Containers made between two collections of garbage; Python's own 700 walk through a million objects of imported modules
# again and again.
COLLECT_AFTER = 20_000
IN_GROUP = {"report": "record"}  # the command of a group that runs if none is named


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def build(wanted: str | None = None) -> typer.Typer:
    """The application; with the options of every command, or only with those of the command `wanted`.

    To declare the hundred options of the other commands would triple the time of `unlearn --help`.
    """
    app = App(
        name="unlearn",
        help="Make a language model forget chosen examples, and measure what that really did.",
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

    groups = {name: App(help=text, no_args_is_help=True, usual=IN_GROUP.get(name)) for name, text in GROUPS.items()}
    for module in WITH_SETTINGS:
        group = getattr(module, "GROUP", None)
        where = groups[group] if group else app
        if wanted in (None, group or module.NAME):
            from unlearn_cli.cli.options import add_command  # noqa: PLC0415 - pydantic, which the overview does not need

            add_command(where, module)
        else:
            where.command(module.NAME, help=module.HELP, rich_help_panel="Commands")(_nothing)
    for name, group_app in groups.items():
        app.add_typer(group_app, name=name, rich_help_panel="Commands")
    information.add(app, groups["report"])
    return app


def _nothing() -> None:
    """The body of a command that is only listed: it needs its help text, but not its options."""


def __getattr__(name: str) -> Any:
    if name == "app":
        return build()
    raise AttributeError(name)


def main() -> None:
    """The console script. A pipe that its reader closed (`| head`) is not an error; an unwritable stdout is one."""
    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    gc.set_threshold(COLLECT_AFTER)
    try:
        with plain_usage_errors():
            code = build(None if "_UNLEARN_COMPLETE" in os.environ else first)(standalone_mode=False)
        raise SystemExit(code if isinstance(code, int) else 0)
    except SystemExit as stop:
        # typer and rich answer a closed pipe with an exit code of 1, which would read as a failure.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        _discard_stdout()
        raise SystemExit(EXIT_PIPE) from None
    except (KeyboardInterrupt, typer.Abort):  # before a command runs, which answers it itself
        from unlearn_cli.console import Reporter  # noqa: PLC0415

        Reporter().error(UnlearnError("interrupted", "nothing was begun; give the command again"))
        raise SystemExit(EXIT_INTERRUPTED) from None
    except OSError as error:
        from unlearn_cli.console import Reporter, unwritable  # noqa: PLC0415 - rich, which a usual end does not need

        _discard_stdout()
        Reporter().error(unwritable(error))
        raise SystemExit(EXIT_FAILED) from None
    finally:
        gc.freeze()  # the process ends: its last collections need not walk through modules that live until then


def _discard_stdout() -> None:
    """Drop what is still to be written: the interpreter would complain about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
