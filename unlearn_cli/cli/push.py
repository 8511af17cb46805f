"""`unlearn push`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import PushConfig
    from unlearn_cli.console import Reporter

NAME = "push"
SETTINGS = "PushConfig"
POSITIONAL = ("run", "repo")
HELP = """Upload a run to the Hub: artifact, report and model card, private unless --public.

Forget rows, measurements and generated answers are not uploaded unless --include-samples is given. Needs a token: `hf auth
login`, or HF_TOKEN.

[bold]Examples[/]

  unlearn push runs/npo org/model-without-it --dry-run

  unlearn push runs/npo org/model-without-it
"""


def run(config: PushConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.recipes import push as recipe  # noqa: PLC0415 - the lazy boundary

    upload = recipe.run(config, reporter)
    reporter.data(json.dumps(upload) if config.json_output else upload["address"] or "\n".join(upload["files"]))
    return 0
