"""`unlearn chat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import ChatConfig
    from unlearn_cli.console import Reporter

NAME = "chat"
SETTINGS = "ChatConfig"
POSITIONAL = ("run",)
HELP = """Ask the model before and after unlearning the same question.

One base is in memory; the adapter is switched on and off. Without --prompt the command reads questions line by line
until `quit`. Piped output is plain text; --json prints one object for each question.

[bold]Examples[/]

  unlearn chat runs/npo

  unlearn chat runs/npo --prompt 'Where was the author born?' --json | jq .after
"""


def run(config: ChatConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.recipes import chat as recipe  # noqa: PLC0415 - the lazy boundary

    recipe.run(config, reporter)
    return 0
