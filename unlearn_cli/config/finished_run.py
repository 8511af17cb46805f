"""Settings of the commands on a finished run: chat, clean, merge, push, report, reproduce and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.groups import OfflineOptions, OutputOptions, PlacementOptions, RunOptions, ShownOptions, TrustOptions
from unlearn_cli.config.option import Folders, Repository, Texts, option
from unlearn_cli.values import MANY, SEED


class ChatConfig(OfflineOptions, TrustOptions, PlacementOptions, RunOptions):
    """Settings of `unlearn chat`."""

    base: str | None = option(None, "the run's base model, if it has moved", "Model", metavar="MODEL")
    prompt: Texts = option((), "ask this question and stop; repeatable", "Data", metavar="TEXT")
    system: str | None = option(None, "a system prompt", "Data", metavar="TEXT", may_be_empty=True)
    history: bool = option(False, "keep earlier turns; each model sees its own answers", "Data")
    max_new_tokens: int = option(200, "longest answer in tokens", "Measuring", ge=1, le=MANY)
    temperature: float = option(0.0, "sampling temperature; 0: greedy", "Measuring", ge=0, le=1000)
    seed: int = option(0, "seed of sampled answers", "Measuring", **SEED)
    quiet: bool = option(False, "print only answers", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "print one JSON object for each question", "Output", flag="--json", runtime=True)


class CleanConfig(ShownOptions, RunOptions):
    """Settings of `unlearn clean`."""

    dry_run: bool = option(False, "list what would be removed, and stop", "Output", runtime=True)


class MergeConfig(OutputOptions, TrustOptions, RunOptions):
    """Settings of `unlearn merge`."""

    output_dir: Path | None = option(None, "folder for the merged model", "Output", short="-o", metavar="DIR")
    base: str | None = option(None, "the run's base model, if it has moved", "Model", metavar="MODEL")
    base_weights: Literal["auto", "dequantized", "original"] = option(
        "auto",
        "for a 4-bit run: merge into its rounded weights, on which it was trained (auto), or into the original ones",
        "Model",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "auto: the checkpoint's", "Model")
    tolerance: float = option(
        0.05, "largest average change of an answer's mean log-probability, in nats; beyond it nothing is written",
        "Measuring", gt=0, le=1000,
    )  # fmt: skip
    rows: int = option(32, "rows of each split for that check", "Measuring", ge=1, le=MANY)


class PushConfig(ShownOptions, RunOptions):
    """Settings of `unlearn push`."""

    repo: Repository = option(
        "", "repository on the Hub, org/name; it is created if it is missing", "Model", metavar="REPO", required=True
    )
    public: bool = option(False, "make the repository public; default: private", "Output", consent="set")
    include_samples: bool = option(
        False, "also upload measured/: forget questions, true answers and the model's answers", "Output", consent="set"
    )
    dry_run: bool = option(False, "list what would be uploaded, and stop", "Output", runtime=True)


class RecordConfig(ShownOptions, RunOptions):
    """Settings of `unlearn report RUN`."""

    html: Path | None = option(None, "write the record as one HTML page without scripts or links", "Output", metavar="FILE")
    pdf: Path | None = option(None, "write it as PDF, printed by an installed Chromium", "Output", metavar="FILE")
    request_id: str | None = option(None, "the number of the request for erasure, for the page", "Data", metavar="TEXT")
    subject_id: str | None = option(
        None, "the person that each row is about: a column of the forget rows, or a file of row ids and people; default: "
        "one verdict for all rows", "Data", metavar="NAME", path=True,
    )  # fmt: skip
    queries: int = option(
        100, "answers to each question that an adversary may sample, for the bounds", "Measuring", ge=1, le=MANY
    )
    leak_at: float = option(
        0.5, "overlap with the truth (ROUGE-L F1) from which a sampled answer counts as revealing it", "Measuring",
        gt=0, le=1,
    )  # fmt: skip
    confidence: float = option(0.95, "confidence of the bounds from sampled answers", "Measuring", gt=0.5, lt=1)
    place: Folders = option(
        {}, "where a part of the lineage is now, repeatable: base=DIR, or the name of a merged model", "Model",
        metavar="NAME=DIR",
    )  # fmt: skip
    key: Path | None = option(
        None, "public key in PEM that the lineage is signed with (pip install unlearn-cli[sign])", "Data", metavar="FILE"
    )


class ReproduceConfig(OutputOptions, TrustOptions, PlacementOptions, RunOptions):
    """Settings of `unlearn reproduce`."""

    output_dir: Path | None = option(
        None, "keep the second run in this folder; default: a temporary one", "Output", short="-o", metavar="DIR",
        runtime=True,
    )  # fmt: skip
    place: Folders = option(
        {}, "where something that the run read is now, repeatable: model=DIR, forget=FILE", "Data", metavar="NAME=PATH"
    )


class VerifyConfig(ShownOptions, RunOptions):
    """Settings of `unlearn verify`."""

    place: Folders = option(
        {}, "where a part of the lineage is now, repeatable: base=DIR, or the name of a merged model", "Model",
        metavar="NAME=DIR",
    )  # fmt: skip
    key: Path | None = option(
        None, "public key in PEM: the newest signature must be of this key (pip install unlearn-cli[sign])", "Data",
        metavar="FILE",
    )  # fmt: skip
    sign_with: Path | None = option(
        None, "private key in PEM: sign the lineage, if every file is unchanged (pip install unlearn-cli[sign])", "Output",
        metavar="FILE",
    )  # fmt: skip
