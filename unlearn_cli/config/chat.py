"""Settings of `unlearn chat`."""

from __future__ import annotations

from unlearn_cli.config.groups import OfflineOptions, RunOptions, TrustOptions
from unlearn_cli.config.option import Expressions, option


class ChatConfig(OfflineOptions, TrustOptions, RunOptions):
    """Settings of `unlearn chat`."""

    prompt: Expressions = option((), "ask this and stop; repeatable", "Data", metavar="TEXT")
    system: str | None = option(None, "a system prompt", "Data", metavar="TEXT")
    history: bool = option(False, "keep earlier turns, each model its own", "Data")
    max_new_tokens: int = option(200, "longest answer", "Measuring", ge=1)
    temperature: float = option(0.0, "0: greedy", "Measuring", ge=0)
    seed: int = option(0, "of sampled answers", "Measuring", ge=0)
    quiet: bool = option(False, "only answers", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "one JSON object a question", "Output", flag="--json", runtime=True)
