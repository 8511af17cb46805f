"""The Typer application; one file for each command. A file imports its recipe only when the command runs."""

from unlearn_cli.cli.app import main

__all__ = ["main"]
