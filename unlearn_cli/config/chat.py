"""Settings of `unlearn chat`."""

from __future__ import annotations

from unlearn_cli.config.groups import OfflineOptions, RunOptions, TrustOptions
from unlearn_cli.config.option import Expressions, option
from unlearn_cli.values import MANY, SEED


class ChatConfig(OfflineOptions, TrustOptions, RunOptions):
    """Settings of `unlearn chat`."""

    base: str | None = option(None, "the run's base model, if that is elsewhere now", "Model", metavar="MODEL")
    prompt: Expressions = option((), "ask this and stop; repeatable", "Data", metavar="TEXT")
    system: str | None = option(None, "a system prompt", "Data", metavar="TEXT", may_be_empty=True)
    history: bool = option(False, "keep earlier turns, each model its own", "Data")
    max_new_tokens: int = option(200, "longest answer", "Measuring", ge=1, le=MANY)
    temperature: float = option(0.0, "0: greedy", "Measuring", ge=0, le=1000)
    seed: int = option(0, "of sampled answers", "Measuring", **SEED)
    quiet: bool = option(False, "only answers", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "one JSON object a question", "Output", flag="--json", runtime=True)
