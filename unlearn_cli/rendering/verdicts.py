"""The verdict on a run and the commands that follow it, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from unlearn_cli.report import Verdict, VerdictWord

STYLES: dict[VerdictWord, str] = {
    "REACHED": "bold green",
    "COMPLETED": "bold cyan",
    "STOPPED": "bold cyan",
    "DAMAGED": "bold red",
    "DIVERGED": "bold red",
}
OTHERWISE = "bold yellow"


def verdict_block(verdict: Verdict) -> Text:
    """The word, why, and the next commands, each on a line of its own that can be pasted."""
    block = Text("\n")
    block.append(verdict.word, style=STYLES.get(verdict.word, OTHERWISE)).append(f": {verdict.why}")
    return block.append(next_block(verdict.next))


def next_block(commands: Sequence[str]) -> Text:
    """The next commands, each on a line of its own that can be pasted."""
    block = Text()
    for label, command in zip(["next: ", *["      "] * len(commands)], commands, strict=False):
        block.append(f"\n{label}", style="dim").append(command)
    return block
