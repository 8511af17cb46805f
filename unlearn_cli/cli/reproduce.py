"""`unlearn reproduce`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import ReproduceConfig
    from unlearn_cli.console import Reporter

NAME = "reproduce"
SETTINGS = "ReproduceConfig"
POSITIONAL = ("run",)
HELP = """Run a finished run again from its report, and compare the two runs.

The hashes of base, tokenizer and rows are compared with those of the run: if they differ, nothing is run. Then come the
differences of the environment, the most important first, and every score beside the interval of the first run. Exit code 3
if an input differs, if a score is outside its interval, or if the run ended differently.

[bold]Examples[/]

  unlearn reproduce runs/npo

  unlearn reproduce runs/npo --place model=./model --output-dir runs/npo-again
"""


def run(config: ReproduceConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.errors import EXIT_GATE  # noqa: PLC0415
    from unlearn_cli.jsonfile import to_json  # noqa: PLC0415
    from unlearn_cli.recipes import reproduce as recipe  # noqa: PLC0415 - the lazy boundary

    summary, reproduced = recipe.run(config, argv, reporter)
    if config.json_output:
        reporter.data(to_json(summary))
    elif any(pair["first"] != pair["second"] for pair in summary.get("scores", ())):
        reporter.table(recipe.scores_table(summary))
    return 0 if reproduced else EXIT_GATE
