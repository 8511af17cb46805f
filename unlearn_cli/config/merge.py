"""Settings of `unlearn merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.groups import OutputOptions, RunOptions, TrustOptions
from unlearn_cli.config.option import option
from unlearn_cli.values import MANY


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
