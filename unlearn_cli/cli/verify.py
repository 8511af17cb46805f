"""`unlearn verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import VerifyConfig
    from unlearn_cli.console import Reporter

NAME = "verify"
SETTINGS = "VerifyConfig"
POSITIONAL = ("run",)
HELP = """Read every file of a run's lineage, and say of each: unchanged, changed, missing, left out or added.

The lineage names, by SHA-256, every file of the base, its tokenizer, the adapter, the report, and models made from
the run. It is a chain of in-toto statements in RUN/lineage. Exit code 3 if a file differs from the lineage, or if a
signature is invalid. Files with rows, which `unlearn push` does not upload, count as left out where all of them are
absent. --place says where a base or a merged model is that has moved.

[bold]Examples[/]

  unlearn verify runs/npo

  unlearn verify runs/npo --place base=./model --json
"""


def run(config: VerifyConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.errors import EXIT_GATE  # noqa: PLC0415
    from unlearn_cli.jsonfile import to_json  # noqa: PLC0415
    from unlearn_cli.recipes import verify as recipe  # noqa: PLC0415 - the lazy boundary

    result, well = recipe.run(config, reporter)
    if config.json_output:
        reporter.data(to_json(result))
    else:
        reporter.table(recipe.states_table(result))
    return 0 if well else EXIT_GATE
