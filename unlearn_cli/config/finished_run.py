"""Settings of the commands on a finished run: `unlearn chat`, `clean`, `merge` and `push`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.groups import OfflineOptions, OutputOptions, RunOptions, ShownOptions, TrustOptions
from unlearn_cli.config.option import Repository, Texts, option
from unlearn_cli.values import MANY, SEED


class ChatConfig(OfflineOptions, TrustOptions, RunOptions):
    """Settings of `unlearn chat`."""

    base: str | None = option(None, "the run's base model, if that is elsewhere now", "Model", metavar="MODEL")
    prompt: Texts = option((), "ask this and stop; repeatable", "Data", metavar="TEXT")
    system: str | None = option(None, "a system prompt", "Data", metavar="TEXT", may_be_empty=True)
    history: bool = option(False, "keep earlier turns, each model its own", "Data")
    max_new_tokens: int = option(200, "longest answer", "Measuring", ge=1, le=MANY)
    temperature: float = option(0.0, "0: greedy", "Measuring", ge=0, le=1000)
    seed: int = option(0, "of sampled answers", "Measuring", **SEED)
    quiet: bool = option(False, "only answers", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "one JSON object a question", "Output", flag="--json", runtime=True)


class CleanConfig(ShownOptions, RunOptions):
    """Settings of `unlearn clean`."""

    dry_run: bool = option(False, "list what would be removed, and stop", "Output", runtime=True)


class MergeConfig(OutputOptions, TrustOptions, RunOptions):
    """Settings of `unlearn merge`."""

    output_dir: Path | None = option(None, "where the merged model goes", "Output", short="-o", metavar="DIR")
    base: str | None = option(None, "the run's base model, if that is elsewhere now", "Model", metavar="MODEL")
    base_weights: Literal["auto", "dequantized", "original"] = option(
        "auto", "of a 4-bit run: its rounded weights, which the adapter was trained on (auto), or the original ones", "Model"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "auto: the checkpoint's", "Model")
    tolerance: float = option(
        0.05, "nats by which the mean log-probability of an answer may change, on average; beyond it nothing is written",
        "Measuring", gt=0, le=1000,
    )  # fmt: skip
    rows: int = option(32, "rows of each split by which that is seen", "Measuring", ge=1, le=MANY)


class PushConfig(ShownOptions, RunOptions):
    """Settings of `unlearn push`."""

    repo: Repository = option(
        "", "repository on the Hub, org/name; made if it is not there", "Model", metavar="REPO", required=True
    )
    public: bool = option(False, "visible to everybody; otherwise private", "Output", consent="set")
    include_samples: bool = option(
        False, "upload measured/ too: forget questions, true answers and what the model said", "Output", consent="set"
    )
    dry_run: bool = option(False, "list what would be uploaded, and stop", "Output", runtime=True)
