"""The Typer application; one file for each command, each importing its recipe inside the command body."""

from unlearn_cli.cli.app import main

__all__ = ["main"]
