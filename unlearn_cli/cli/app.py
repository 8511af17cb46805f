"""The application: every command, and what holds for all of them."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_cli import __version__
from unlearn_cli.cli import demo, env, evaluate, forget, listing, report

app = typer.Typer(
    name="unlearn",
    help="Make a language model forget chosen examples, and prove what happened.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    pass


for _command in (forget, evaluate, demo, listing, report, env):
    _command.add(app)


def main() -> None:
    """The console script."""
    app()
