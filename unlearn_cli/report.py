"""`report.json`: the evidence of a run, as a schema that others can read.

Numbers that do not exist are null with a reason; the file is always valid JSON. The schema is `unlearn report schema`;
within a major version fields are only added.
"""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_object

SCHEMA_VERSION = "1.0"
FILE = "report.json"
ROWS = "rows.jsonl"  # beside it: every metric's value for every row, without text
MANIFEST = "sweep.json"  # of a sweep: the run spec of each run folder
EVALUATION = "evaluation"  # in a run folder: the report of a later `unlearn evaluate`
RUN_SPEC = "plan.json"  # beside it: what decides the result of the run, and its number of steps
CHECKPOINTS, STEPS = "checkpoints", "step-*.pt"

Status = Literal["completed", "stopped", "interrupted", "diverged", "collapsed", "no_effect", "not_reached"]
UNUSABLE: tuple[Status, ...] = ("diverged", "collapsed", "no_effect")  # is never the best of a comparison
FAILED: tuple[Status, ...] = (*UNUSABLE, "not_reached")  # exit code 4


class Part(BaseModel):
    """A part of the report. Unknown fields are kept: within a major version later releases add fields."""

    model_config = ConfigDict(extra="allow")


class Score(Part):
    """One metric on one split under one model."""

    value: float | None = Field(description="null where `reason` says why")
    ci: tuple[float, float] | None = Field(default=None, description="95 % percentile bootstrap interval over rows")
    n: int = Field(description="rows with a value")
    dropped: int = Field(default=0, description="rows without a value, left out")
    target: Literal["min", "max", "baseline"] | None = Field(default=None, description="which way is better on this split")
    range: tuple[float, float | None] = Field(
        (0.0, None), description="smallest and largest possible value; null: unbounded"
    )
    reason: str | None = None
    details: dict[str, float] = Field(default={}, description="further numbers of the same comparison, where they exist")

    def __init__(self, **data: Any) -> None:
        low, high = data.get("range", (0.0, None))
        data["range"] = (low, None if high is not None and math.isinf(high) else high)
        data["details"] = {name: v for name, v in data.get("details", {}).items() if v is not None and math.isfinite(v)}
        super().__init__(**data)


class Change(Part):
    """After less before on the same rows."""

    value: float
    ci: tuple[float, float] | None = Field(None, description="95 % interval of the paired difference; null for a single row")


class Compared(Part):
    """One metric on one split, before and after, and under a model that never saw the forget rows."""

    before: Score | None = None
    after: Score | None = None
    baseline: Score | None = None
    change: Change | None = None  # from before to after, of what general ability is judged by


def before_and_after(both: Compared | None) -> tuple[float, float] | None:
    """The values of a score before and after; None where one is missing."""
    if both is None or both.before is None or both.after is None:
        return None
    before, after = both.before.value, both.after.value
    return None if before is None or after is None else (before, after)


Scores = dict[str, dict[str, Compared]]  # split -> metric -> scores


class DataReport(Part):
    """One split, described without its text."""

    spec: str
    files: list[str]
    format: str
    revision: str | None
    sha256: str = Field(description="over the content of the rows, in order")
    rows: int
    rows_in_source: int
    sequences: int = Field(description="rows after raw documents are cut into windows")
    tokens: int
    answer_tokens: int
    truncated_rows: int
    truncated_tokens: int
    measured_rows: int


class ModelReport(Part):
    """What was unlearned from."""

    model: str
    revision: str | None = Field(description="resolved commit of a Hub model")
    adapter: str | None = Field(default=None, description="the adapter the model arrived with")
    architecture: str
    parameters: int
    trainable_parameters: int
    lora_share: float | None = Field(
        None, description="of the weights outside embeddings and head, those that LoRA was put on"
    )
    dtype: str
    quantization: str | None
    layout: str = Field(description="packed (no padding token is computed) or padded")
    chat_template_sha256: str | None
    weights_sha256: str | None = Field(description="of a local model's weight files")


class PassReport(Part):
    """What measuring one split under one model cost."""

    tokens_run: int = Field(description="tokens that went through the model to score answers")
    tokens_needed: int = Field(description="each question once and each of its answers once")
    tokens_generated: int = Field(description="tokens written as answers")


class Trajectory(Part):
    """Scores measured during training."""

    step: int
    scores: dict[str, dict[str, float | None]]


class TrainingReport(Part):
    """What training did. Losses are averages over the first and the last tenth of the steps."""

    steps: int
    steps_planned: int
    epochs: float
    effective_batch: int
    retain_rows_per_step: int
    tokens: int = Field(description="run with gradient")
    retain_tokens: int = Field(default=0, description="of those, tokens of rows to keep")
    tokens_per_second: float
    real_token_share: float = Field(description="tokens of rows over tokens computed; 1 when packed")
    seconds_per_step: float
    forget_loss: tuple[float, float] | None
    retain_loss: tuple[float, float] | None
    grad_norm_max: float | None
    reference_seconds: float
    activation_checkpointing: bool
    resumed_from_step: int | None = None
    stopped_by: str | None = None
    layers: list[int] = Field(default=[], description="blocks (1 is the first) whose hidden states the method reads")
    retain_layers: list[int] = Field(default=[], description="those that the retain term reads")
    trajectory: list[Trajectory] = []


class TargetReport(Part):
    """What a run was to reach, and whether it did, by all measured rows. Probabilities are those of the metric."""

    level: float = Field(description="mean probability that the forget rows were to come down to")
    row_level: float = Field(description="above it a single forget row counts as not forgotten")
    source: str = Field(description="where the level was taken from")
    keep: float = Field(description="share of the held-out retain rows' probability that was to stay")
    forget_reached: bool
    retain_reached: bool
    retain_share: float | None
    forget: float = Field(description="mean probability of the forget rows after training")
    rows_above: int = Field(description="forget rows above row_level")
    rows: int
    worst: dict[str, float] = Field(description="ids of the likeliest forget rows, likeliest first")
    steps: int = Field(default=0, description="steps until training ended")
    best_step: int | None = Field(default=None, description="step whose weights were kept")


class ArtifactReport(Part):
    """What was written, and how well it reads back."""

    kind: Literal["adapter", "model", "logit_difference", "logit_offset", "reinforced_difference"]
    files: dict[str, str] = Field(description="name -> sha256")
    reload_max_diff: float | None = Field(description="largest difference of a token's log-probability after reading back")
    lora_b_nonzero: str | None = Field(default=None, description="trained lora_B matrices that are not zero, of all")


class CalibrationReport(Part):
    """`--calibrate`: the strongest unlearning that keeps a constraint."""

    expression: str
    scale: float = Field(description="share of the change of the weights that was kept; 1 is all")
    tried: list[tuple[float, bool]] = Field(description="scales tried, in order, and whether the constraint held")


class GateReport(Part):
    """A `--fail-if` expression and what became of it."""

    expression: str
    failed: bool
    reason: str | None = Field(default=None, description="why it has no value, or which runs it holds for")
    in_words: str | None = Field(
        default=None,
        validation_alias=AliasChoices("in_words", "told"),  # its name in reports of earlier versions
        description="the expression with the values that decided, in words",
    )


class AttackLine(Part):
    """One attack on the run, in a line; the whole is in `attacks/NAME/report.json`."""

    verdict: str
    recovery: float | None = Field(description="largest normalised recovery of probability")
    upper_bound: bool = Field(description="no baseline was attacked alike: counted from a probability of 0")


class RunReport(Part):
    """The whole report."""

    schema_version: str = SCHEMA_VERSION
    command: Literal["forget", "evaluate"]
    status: Status
    message: str | None = None
    command_line: list[str]
    started: str
    config: dict[str, Any]
    config_sources: dict[str, str]
    environment: dict[str, Any]
    model: ModelReport | None = Field(default=None, description="null where scores were made from measurements alone")
    data: dict[str, DataReport] = {}
    training: TrainingReport | None = None
    target: TargetReport | None = Field(default=None, description="null for a fixed schedule")
    scores: Scores = {}
    harness: dict[str, dict[str, float]] = Field(default={}, description="--lm-eval: task -> metric -> value")
    passes: dict[str, dict[str, PassReport]] = Field(default={}, description="split -> before, after, baseline")
    gates: list[GateReport] = []
    attacks: dict[str, AttackLine] = {}
    artifact: ArtifactReport | None = None
    calibration: CalibrationReport | None = None
    seconds: dict[str, float] = {}
    peak_memory: dict[str, int] = Field(default={}, description="bytes: rss, and device where there is one")
    texts: list[str] = Field(default=[], description="files beside this report that hold rows or answers as plain text")
    notes: list[str] = []


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity replaced by None, so that it is valid JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def dumps(report: RunReport, only: set[str] | None = None) -> str:
    """The report, or some of its fields, as JSON text."""
    return json.dumps(finite(report.model_dump(mode="json", include=only)), indent=2, ensure_ascii=False, allow_nan=False)


def write_report(report: RunReport, folder: Path) -> Path:
    """Write `folder/report.json` atomically; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_atomically(path, dumps(report) + "\n")
    return path


def read_report(folder: Path) -> RunReport:
    """The report of a run folder.

    Raises:
        UnlearnError: there is none, or not yet, or it is broken or of a newer major version.
    """
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        if folder.is_dir() and (come := unfinished(folder)):
            raise UnlearnError(f"{folder} has not finished ({come[0]})", come[1])
        raise UnlearnError(
            f"{folder} is not a run folder: it has no {FILE}", "a folder written by `unlearn forget` is expected"
        )
    data = read_object(path, "the report.json that a command of `unlearn` wrote is expected")
    try:
        version = str(data.get("schema_version", ""))
        if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise UnlearnError(f"{path} has schema version {version or 'none'}; this program reads {SCHEMA_VERSION}")
        if data.get("command") == "relearn-attack":
            raise UnlearnError(
                f"{path} is about an attack on a run, not a run", f"`unlearn report show {shlex.quote(str(path))}` shows it"
            )
        return RunReport.model_validate(data)
    except (ValidationError, RecursionError) as error:
        hint = "`unlearn report schema` says what a report holds"
        raise UnlearnError(f"{path} is not a readable report: {str(error).splitlines()[0]}", hint) from None


def unfinished(folder: Path) -> tuple[str, str] | None:
    """The progress of an unfinished run and how to resume it; None where no run was started."""
    checkpoints = [int(path.stem.removeprefix("step-")) for path in (folder / CHECKPOINTS).glob(STEPS)]
    if not checkpoints and not (folder / RUN_SPEC).is_file():
        return None
    again = "the same `unlearn forget` command"
    if not checkpoints:
        return "no step is kept", f"{again} starts it again"
    try:
        steps = read_object(folder / RUN_SPEC, "").get("steps")
    except UnlearnError:
        steps = None
    return f"step {max(checkpoints)}" + (f" of {steps}" if steps else ""), f"{again} with --resume goes on"
