"""The verdict on a run and the commands that follow it, for a terminal; the tone of each word, for a page too."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from unlearn_cli.report import Verdict, VerdictWord

TONES: dict[VerdictWord, str] = {  # the other words are a "notice"
    "REACHED": "good",
    "COMPLETED": "ended",
    "STOPPED": "ended",
    "DAMAGED": "bad",
    "DIVERGED": "bad",
}
STYLES = {"good": "bold green", "ended": "bold cyan", "bad": "bold red", "notice": "bold yellow"}


def verdict_block(verdict: Verdict) -> Text:
    """The word, why, and the next commands, each on a line of its own that can be pasted."""
    block = Text("\n")
    block.append(verdict.word, style=STYLES[TONES.get(verdict.word, "notice")]).append(f": {verdict.why}")
    return block.append(next_block(verdict.next))


def next_block(commands: Sequence[str]) -> Text:
    """The next commands, each on a line of its own that can be pasted."""
    block = Text()
    for label, command in zip(["next: ", *["      "] * len(commands)], commands, strict=False):
        block.append(f"\n{label}", style="dim").append(command)
    return block
