"""`unlearn init`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import InitConfig
    from unlearn_cli.console import Reporter

NAME = "init"
SETTINGS = "InitConfig"
HELP = """Look at your rows and write a commented forget.yaml for `unlearn forget -c`.

On a terminal it asks for what is missing. It guesses the columns of a table, or makes rows of a table of facts with --ask,
and ends with the commands that run the file and judge the run.

[bold]Examples[/]

  unlearn init -m ./model -f forget.jsonl -r retain.jsonl

  unlearn init -m ./model -f people.csv --ask 'Where is {name}? => In {city}.' --recipe quick
"""


def run(config: InitConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> None:
    from unlearn_cli.recipes import init as recipe  # noqa: PLC0415 - imports no torch

    path, commands = recipe.run(config, reporter)
    reporter.data(json.dumps({"file": str(path), "next": commands}, indent=2) if config.json_output else str(path))
