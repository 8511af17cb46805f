"""`unlearn merge`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import MergeConfig
    from unlearn_cli.console import Reporter

NAME = "merge"
SETTINGS = "MergeConfig"
POSITIONAL = ("run",)
HELP = """Merge a run's adapter into its base: a plain model folder.

The merged model is read back and compared with the run on the run's rows. If it differs by more than --tolerance, nothing is
written. A 4-bit run is merged into its rounded weights, on which the adapter was trained. Compositions (uld, offset, whp)
are two passes and cannot be merged.

[bold]Examples[/]

  unlearn merge runs/npo -o models/npo

  unlearn merge runs/npo-4bit -o models/npo --base-weights original --tolerance 0.2
"""


def run(config: MergeConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.recipes import merge as recipe  # noqa: PLC0415 - the lazy boundary

    summary, path = recipe.run(config, argv, reporter)
    reporter.data(json.dumps(summary) if config.json_output else str(path))
    return 0
