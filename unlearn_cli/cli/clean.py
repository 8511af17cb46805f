"""`unlearn clean`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import CleanConfig
    from unlearn_cli.console import Reporter

NAME = "clean"
SETTINGS = "CleanConfig"
POSITIONAL = ("run",)
HELP = """Remove the rows' text and the checkpoints from a run folder, and keep its evidence.

A run keeps the forget rows and the model's answers as plain text in measured/, so that it can be scored again. This command
removes those texts, the alternatives that the model wrote, and checkpoints. Report, scores of every row, numbers, hashes and
artifact stay. Scores that need text (ROUGE) stay in the report; to compute them again the model must be measured again.

[bold]Examples[/]

  unlearn clean runs/npo --dry-run

  unlearn clean runs/npo
"""


def run(config: CleanConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.recipes import clean as recipe  # noqa: PLC0415 - the lazy boundary

    removed = recipe.run(config, reporter)
    reporter.data(json.dumps({"run": str(config.run), "removed": removed}) if config.json_output else str(config.run))
    return 0
