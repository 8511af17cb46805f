"""`unlearn data check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import CheckConfig
    from unlearn_cli.console import Reporter

NAME = "check"
GROUP = "data"
SETTINGS = "CheckConfig"
POSITIONAL = ("files",)
USUAL = ("files", "model", "columns", "load_in_4bit", "json_output")
HELP = """Look at rows before a run: formats, lengths, repeated rows, rows in two files, rows that a model does not know.

The first file has the rows to forget, the second the rows to keep. Columns are guessed where no format fits. With --model
the probability of each answer is measured: a model has nothing to forget in a row that it does not know. Exit code 2 if a
file cannot be used.

[bold]Examples[/]

  unlearn data check forget.jsonl retain.jsonl

  unlearn data check people.csv -m ./model
"""


def run(config: CheckConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.errors import EXIT_USAGE  # noqa: PLC0415
    from unlearn_cli.recipes import data_check as recipe  # noqa: PLC0415 - imports no torch

    facts = recipe.run(config, reporter)
    reporter.data(facts.dumps() if config.json_output else "\n".join(recipe.lines(facts, config.model, config.columns)))
    return 0 if facts.usable else EXIT_USAGE
