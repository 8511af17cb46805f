"""`unlearn compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import CompareConfig
    from unlearn_cli.console import Reporter

NAME = "compare"
SETTINGS = "CompareConfig"
POSITIONAL = ("runs",)
USUAL = ("runs", "baseline", "metrics", "sort", "group_by", "html", "markdown", "fail_if", "json_output")
HELP = """Compare runs: scores, differing settings, what is noise, and which runs no other beats.

Reads run folders, never a model. Runs that were measured on other rows or in another way are refused. Differences are judged
by a paired bootstrap over rows, and over seeds if --group-by seed finds several. The table goes to stdout, unless --json,
--csv - or --markdown - does. Exit code 3 if a --fail-if expression holds for any run.

[bold]Examples[/]

  unlearn compare runs/npo runs/simnpo runs/rmu

  unlearn compare runs/* > table.txt

  unlearn compare runs/* --sort retain.probability --html compare.html

  unlearn compare runs/npo-* --group-by seed --markdown - >> comment.md

  unlearn compare runs/* --fail-if 'retain.probability < 0.9 * before' --json | jq .front
"""


def run(config: CompareConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.errors import EXIT_GATE  # noqa: PLC0415
    from unlearn_cli.jsonfile import to_json  # noqa: PLC0415
    from unlearn_cli.recipes import compare as recipe  # noqa: PLC0415 - imports no torch

    result, failed = recipe.run(config, sources, reporter, table_on_stdout=True)
    if config.json_output:
        reporter.data(to_json(result))
    return EXIT_GATE if failed else 0
