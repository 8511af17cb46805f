"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.option import Columns, Options, Pairs, RunFolder, Sizes, option
from unlearn_cli.values import MANY


class DeviceOptions(Options):
    """Where a model runs."""

    device: str = option("auto", "auto (cuda, mps, cpu), or one device such as cuda:1", "Model")


class PlacementOptions(DeviceOptions):
    """How a model that is too large for one device is spread over several."""

    device_map: Literal["none", "auto"] = option(
        "none", "auto: spread the base over all GPUs, and what is left over the CPU and the disk", "Model", runtime=True
    )
    max_memory: Sizes = option(
        {}, "with --device-map auto: memory for weights on each device, 0=60GiB,1=70GiB,cpu=100GiB; no other is used, and "
        "the disk takes what is left", "Model", metavar="DEVICE=SIZE", runtime=True,
    )  # fmt: skip


class TrustOptions(DeviceOptions):
    """What a model may do while it is loaded."""

    trust_remote_code: bool = option(False, "run code that comes with the model", "Model", consent="set")
    allow_pickle: bool = option(False, "load .bin checkpoints, which can run code when loaded", "Model", consent="set")


class RunOptions(Options):
    """A finished run."""

    run: RunFolder = option(Path(), "run folder of `unlearn forget`", "Model", metavar="RUN", required=True)


class ModelOptions(TrustOptions, PlacementOptions):
    """Which model, and how it is loaded."""

    model: str = option("", "folder, Hub id, or folder of an adapter", "Model", short="-m", metavar="MODEL", path=True)
    revision: str | None = option(None, "branch, tag or commit of a Hub id", "Model")
    base: str | None = option(None, "base model of an adapter or a run, if it has moved", "Model", metavar="MODEL")
    load_in_4bit: bool = option(False, "NF4 with double quantization", "Model")
    load_in_8bit: bool = option(False, "LLM.int8()", "Model")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "auto: the checkpoint's, if the device can", "Model"
    )
    attn_implementation: str = option(
        "sdpa", "attention kernel; any other than sdpa pads rows instead of packing them", "Model", consent="kernels"
    )


class BenchmarkOptions(Options):
    """The rows of a published benchmark."""

    benchmark: str | None = option(
        None, "rows and splits of a published benchmark: tofu:forget10, muse:news, ...; see `unlearn list benchmarks`",
        "Data", metavar="NAME",
    )  # fmt: skip
    benchmark_dir: Path | None = option(None, "folder with the benchmark's files, instead of the Hub", "Data", metavar="DIR")


class DataOptions(BenchmarkOptions):
    """Which rows, and how they become tokens."""

    forget: str | None = option(
        None,
        "rows to forget: a file, a folder, or hf:org/name[/config][@revision]:split",
        "Data",
        short="-f",
        metavar="SPEC",
        path=True,
    )
    retain: str | None = option(
        None, "rows that the model should still know; auto, which is the default of forget: the model writes some itself",
        "Data", short="-r", metavar="SPEC", path=True,
    )  # fmt: skip
    holdout: str | None = option(
        None,
        "rows like the forget rows that no model has seen: they set the level that forgetting must reach, and serve "
        "membership inference",
        "Data",
        metavar="SPEC",
        path=True,
    )
    retain_held_out: float = option(
        0.2, "share of the retain rows that training leaves out (at least 8 rows); they judge what is kept", "Data",
        ge=0, le=0.5,
    )  # fmt: skip
    retain_eval: str | None = option(
        None, "rows that judge what is kept; training never sees them; default: held out of --retain", "Data",
        metavar="SPEC", path=True,
    )  # fmt: skip
    columns: Columns = option(
        (), "your column names: prompt=q,answer=a; for one split retain.prompt=text", "Data", metavar="NAMES"
    )
    limit: int | None = option(None, "the first N rows of each split only", "Data", ge=1, le=MANY, metavar="N")
    chat_template: str = option("auto", "auto (the tokenizer's), none, or a Jinja file", "Data", path=True)
    enable_thinking: bool = option(False, "give the chat template enable_thinking=true", "Data")
    reasoning: Literal["ignore", "score"] = option(
        "ignore", "the assistant's reasoning_content: leave it out, or forget and score it together with the answer", "Data"
    )
    max_length: int = option(2048, "longest row in tokens; at most what the model takes", "Data", ge=8, le=MANY)
    stride: int = option(
        0, "raw documents: tokens of the previous window that each window repeats as context", "Data", ge=0, le=MANY
    )


class MeasuringOptions(Options):
    """What is measured before and after."""

    eval_limit: int = option(1000, "measured rows of each split, evenly spread; 0: all", "Measuring", ge=0, le=MANY)
    generate_limit: int = option(
        200, "rows among them that the model answers by greedy generation; 0: all", "Measuring", ge=0, le=MANY
    )
    max_new_tokens: int = option(200, "longest generated answer in tokens", "Measuring", ge=1, le=MANY)
    samples: int = option(
        0, "sampled answers to each answered question, for bounds on leakage; 32 is quick, 128 usual", "Measuring",
        ge=0, le=MANY,
    )  # fmt: skip
    sample_temperature: float = option(1.0, "temperature of the sampled answers", "Measuring", gt=0, le=1000)
    sample_top_p: float = option(
        0.9, "sampled answers use the likeliest tokens up to this probability mass", "Measuring", gt=0, le=1
    )
    grad_norms: bool = option(
        False, "also measure each row's gradient, for membership inference; one backward pass for each row", "Measuring"
    )
    metric_parameters: Pairs = option(
        {},
        "a parameter of a metric, repeatable: --metric-parameter rouge_l.stem=false",
        "Measuring",
        flag="--metric-parameter",
        metavar="METRIC.NAME=VALUE",
    )
    bootstrap_samples: int = option(1000, "resamples behind the confidence intervals", "Measuring", ge=1, le=MANY)
    no_general: bool = option(
        False, "do not measure general ability, on 80 questions and 20 paragraphs that come with unlearn",
        "Measuring",
    )  # fmt: skip
    token_budget: int = option(2048, "tokens in one forward pass of measuring", "Measuring", ge=1, le=MANY, runtime=True)
    no_text: bool = option(
        False, "write no text of rows or answers into the output folder; a later command measures again if it needs them",
        "Output", runtime=True,
    )  # fmt: skip


class ShownOptions(Options):
    """How much a command prints."""

    quiet: bool = option(False, "print only errors and the result", "Output", short="-q", runtime=True)
    json_output: bool = option(
        False, "print the whole result on stdout as one JSON object", "Output", flag="--json", runtime=True
    )


class HubOptions(Options):
    """Whether the Hub may be used."""

    offline: bool = option(False, "never use the Hub (HF_HUB_OFFLINE=1)", "Output", runtime=True)


class OfflineOptions(HubOptions, ShownOptions):
    """How much a command prints, and whether it may use the Hub."""


class LoadOptions(HubOptions, ModelOptions):
    """Settings of `unlearn_cli.load`."""


class OutputOptions(OfflineOptions):
    """The output folder."""

    output_dir: Path | None = option(
        None, "run folder; default: runs/MODEL-METHOD", "Output", short="-o", metavar="DIR", runtime=True
    )
    overwrite: bool = option(False, "replace what is in the output folder", "Output", runtime=True)
