"""`report.json`: the evidence of a run, as a schema that others can read.

Numbers that do not exist are null with a reason; the file is always valid JSON. The schema is `unlearn report schema`;
within a major version fields are only added.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from unlearn_cli.atomic import write_atomically
from unlearn_cli.display import Displayed, TableRow, short
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_object, to_json

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

VerdictWord = Literal[
    "REACHED", "COMPLETED", "STOPPED", "NOT REACHED", "DAMAGED", "OVER-FORGOTTEN", "NOT KNOWN BEFORE", "NO EFFECT",
    "DIVERGED",
]  # fmt: skip


class Part(BaseModel):
    """A part of the report. Unknown fields are kept: within a major version later releases add fields."""

    model_config = ConfigDict(extra="allow")


class Score(Part):
    """One metric on one split under one model."""

    value: float | None = Field(description="null where `reason` says why")
    ci: tuple[float, float] | None = Field(default=None, description="95 % percentile bootstrap interval over rows")
    n: int = Field(description="rows with a value")
    smallest: float | None = Field(default=None, description="of a row; null: the metric has no value for each row")
    largest: float | None = Field(default=None, description="the same")
    dropped: int = Field(default=0, description="rows without a value, left out")
    target: Literal["min", "max", "baseline"] | None = Field(default=None, description="which way is better on this split")
    range: tuple[float, float | None] = Field(
        (0.0, None), description="smallest and largest possible value; null: unbounded"
    )
    reason: str | None = Field(default=None, description="why there is no value; null where there is one")
    details: dict[str, float] = Field(default={}, description="further numbers of the same comparison, where they exist")

    def __init__(self, **data: Any) -> None:
        low, high = data.get("range", (0.0, None))
        data["range"] = (low, None if high is not None and math.isinf(high) else high)
        data["details"] = {name: v for name, v in data.get("details", {}).items() if v is not None and math.isfinite(v)}
        super().__init__(**data)


class Change(Part):
    """After less before on the same rows."""

    value: float = Field(description="after less before")
    ci: tuple[float, float] | None = Field(None, description="95 % interval of the paired difference; null for a single row")


class Compared(Part):
    """One metric on one split, before and after, and under a model that never saw the forget rows."""

    before: Score | None = Field(default=None, description="under the model before unlearning")
    after: Score | None = Field(
        default=None,
        description="under the model after unlearning; without a run, the one that was measured",
    )
    baseline: Score | None = Field(
        default=None, description="under a model that never saw the forget rows; null without --baseline"
    )
    change: Change | None = Field(default=None, description="from before to after, by which general ability is judged")

    def table_row(self) -> TableRow:
        """The values, with the interval, the number of rows and the aim of the score that counts."""
        last = self.after or self.before or self.baseline
        assert last is not None  # one model was measured, else there is nothing to compare
        low, high = last.ci or (None, None)
        values = {
            moment: score.value if (score := getattr(self, moment)) else None for moment in ("before", "after", "baseline")
        }
        return {**values, "low": low, "high": high, "n": last.n, "target": last.target, "reason": last.reason}


def before_and_after(both: Compared | None) -> tuple[float, float] | None:
    """The values of a score before and after; None where one is missing."""
    if both is None or both.before is None or both.after is None:
        return None
    before, after = both.before.value, both.after.value
    return None if before is None or after is None else (before, after)


Scores = dict[str, dict[str, Compared]]  # split -> metric -> scores


class DataReport(Part):
    """One split, described without its text."""

    spec: str = Field(description="what --forget, --retain or the like was given")
    files: list[str] = Field(description="the files that were read")
    format: str = Field(description="the row format, as recognised by its columns")
    revision: str | None = Field(description="resolved commit of a data set of the Hub; null for local files")
    sha256: str = Field(description="over the content of the rows, in order")
    rows: int = Field(description="rows that were taken")
    rows_in_source: int = Field(description="rows that the source holds, before --limit and what is held out")
    sequences: int = Field(description="rows after raw documents are cut into windows")
    tokens: int = Field(description="tokens of all sequences")
    answer_tokens: int = Field(description="of those, tokens that are scored")
    truncated_rows: int = Field(description="rows cut at --max-length")
    truncated_tokens: int = Field(description="tokens that were cut off")
    measured_rows: int = Field(description="rows that scores are made of; see --eval-limit")
    published: bool | None = Field(
        default=None, description="of a benchmark: the rows have the published hash; null: no hash is known here"
    )


class ModelReport(Part):
    """What was unlearned from."""

    model: str = Field(description="what --model was given: a folder or a Hub id")
    revision: str | None = Field(description="resolved commit of a Hub model")
    adapter: str | None = Field(default=None, description="the adapter the model arrived with")
    architecture: str = Field(description="class of the model in transformers")
    parameters: int = Field(description="number of weights")
    trainable_parameters: int = Field(description="number of weights that training changes")
    lora_share: float | None = Field(
        None, description="of the weights outside embeddings and head, those that LoRA was put on"
    )
    dtype: str = Field(description="data type of the weights that are not quantized")
    quantization: str | None = Field(description="nf4 or int8 for --load-in-4bit and --load-in-8bit; null for none")
    layout: str = Field(description="packed (no padding token is computed) or padded")
    chat_template_sha256: str | None = Field(description="hash of the template that wrote the prompts; null for none")
    weights_sha256: str | None = Field(description="of a local model's weight files")


class PassReport(Part):
    """What measuring one split under one model cost."""

    tokens_run: int = Field(description="tokens that went through the model to score answers")
    tokens_needed: int = Field(description="each question once and each of its answers once")
    tokens_generated: int = Field(description="tokens written as answers")


class Trajectory(Part):
    """Scores measured during training."""

    step: int = Field(description="steps that were done")
    scores: dict[str, dict[str, float | None]] = Field(description="split -> metric -> value")


class TrainingReport(Part):
    """What training did. Losses are averages over the first and the last tenth of the steps."""

    steps: int = Field(description="steps that were done")
    steps_planned: int = Field(description="steps of the schedule, or of the target's budget")
    epochs: float = Field(description="passes over the forget rows")
    effective_batch: int = Field(description="forget rows in a step")
    retain_rows_per_step: int = Field(description="retain rows in a step")
    tokens: int = Field(description="run with gradient")
    retain_tokens: int = Field(default=0, description="of those, tokens of rows to keep")
    tokens_per_second: float = Field(description="tokens run with gradient in a second of training")
    real_token_share: float = Field(description="tokens of rows over tokens computed; 1 when packed")
    seconds_per_step: float = Field(description="mean time of a step")
    forget_loss: tuple[float, float] | None = Field(
        description="mean over the first and over the last tenth of the steps; null where the method has none"
    )
    retain_loss: tuple[float, float] | None = Field(description="the same of the retain term; null without one")
    grad_norm_max: float | None = Field(description="largest gradient norm before clipping; null where none was taken")
    reference_seconds: float = Field(description="time of the passes through the reference")
    activation_checkpointing: bool = Field(description="whether activations were computed twice to save memory")
    resumed_from_step: int | None = Field(
        default=None, description="step of the checkpoint that --resume went on from; null for none"
    )
    stopped_by: str | None = Field(default=None, description="what ended training before its schedule; null for nothing")
    layers: list[int] = Field(default=[], description="blocks (1 is the first) whose hidden states the method reads")
    retain_layers: list[int] = Field(default=[], description="those that the retain term reads")
    trajectory: list[Trajectory] = Field(default=[], description="scores measured during training (--eval-every)")


class TargetReport(Part):
    """What a run was to reach, and whether it did, by all measured rows. Probabilities are those of the metric."""

    level: float = Field(description="mean probability that the forget rows were to come down to")
    row_level: float = Field(description="above it a single forget row counts as not forgotten")
    source: str = Field(description="where the level was taken from")
    keep: float = Field(description="share of the held-out retain rows' probability that was to stay")
    forget_reached: bool = Field(description="whether the forget half was reached")
    retain_reached: bool = Field(description="whether the retain half was reached")
    retain_share: float | None = Field(
        description="share of the held-out retain rows' probability that is left; null without such rows"
    )
    forget: float = Field(description="mean probability of the forget rows after training")
    rows_above: int = Field(description="forget rows above row_level")
    rows: int = Field(description="forget rows that were measured")
    worst: dict[str, float] = Field(description="ids of the likeliest forget rows, likeliest first")
    steps: int = Field(default=0, description="steps until training ended")
    best_step: int | None = Field(default=None, description="step whose weights were kept")


class EfficiencyReport(Part):
    """What a run cost, beside training anew without the rows. Without a counter of the device the energy is not known."""

    seconds: float = Field(description="of the whole run, measuring included")
    energy_joules: float | None = Field(description="null where the device does not tell")
    energy_source: str | None = Field(description="what was read")
    tokens: int = Field(description="that training ran with gradient")
    retraining_tokens: int | None = Field(
        description="of five epochs over the retain rows, as TOFU teaches its models; a model from scratch takes far more"
    )
    share_of_retraining: float | None = Field(description="tokens over retraining_tokens")


class ArtifactReport(Part):
    """What was written, and how well it reads back."""

    kind: Literal["adapter", "model", "logit_difference", "logit_offset", "reinforced_difference"] = Field(
        description="an adapter, a whole model, or how the logits of two passes are composed"
    )
    files: dict[str, str] = Field(description="name -> sha256")
    reload_max_diff: float | None = Field(description="largest difference of a token's log-probability after reading back")
    lora_b_nonzero: str | None = Field(default=None, description="trained lora_B matrices that are not zero, of all")


class CalibrationReport(Part):
    """`--calibrate`: the strongest unlearning that keeps a constraint."""

    expression: str = Field(description="the constraint, as it was given")
    scale: float = Field(description="share of the change of the weights that was kept; 1 is all")
    tried: list[tuple[float, bool]] = Field(description="scales tried, in order, and whether the constraint held")


class EarlierRun(Part):
    """A run that this run went on from, and what became of the rows that it forgot."""

    run: str = Field(description="its run folder")
    report_sha256: str = Field(description="of its report.json, as it was read")
    forget_sha256: str = Field(description="over the rows that it forgot, in order")
    split: str = Field(description="the name of these rows in this report")
    kept: str | None = Field(default=None, description="the name of the rows that it kept, where this run keeps others")
    probability: float | None = Field(default=None, description="of these rows after that run")
    before: float | None = Field(default=None, description="before this run")
    after: float | None = Field(default=None, description="after this run")
    returned: bool = Field(
        default=False,
        description="they are known again: their probability rose by more than 0.05 and beyond its interval",
    )


class GateReport(Part):
    """A `--fail-if` expression and what became of it."""

    expression: str = Field(description="the gate, as it was given")
    failed: bool = Field(description="whether it holds or cannot be told")
    reason: str | None = Field(default=None, description="why it has no value, or which runs it holds for")
    in_words: str | None = Field(
        default=None,
        validation_alias=AliasChoices("in_words", "told"),  # its name in reports of earlier versions
        description="the expression with the values that decided, in words",
    )


class AttackLine(Part):
    """One attack on the run, in a line; the whole is in `attacks/NAME/report.json`."""

    verdict: str = Field(description="what the attack brought back, in a sentence")
    recovery: float | None = Field(description="largest normalised recovery of probability")
    upper_bound: bool = Field(description="no baseline was attacked alike: counted from a probability of 0")


class Verdict(Part):
    """What became of a run: one word, why, and what to do."""

    word: VerdictWord = Field(description="what became of it")
    why: str = Field(description="in one line")
    next: list[str] = Field(default=[], description="commands that mend it, or that go on; each can be pasted")


class RunReport(Displayed, Part):
    """The whole report."""

    schema_version: str = Field(default=SCHEMA_VERSION, description="version of this schema, as MAJOR.MINOR")
    command: Literal["forget", "evaluate"] = Field(description="the command that wrote the report")
    status: Status = Field(description="how the run ended; the last four mean exit code 4")
    message: str | None = Field(default=None, description="why it ended so; null where there is nothing to say")
    verdict: Verdict | None = Field(default=None, description="null where nothing was measured before and after")
    command_line: list[str] = Field(description="arguments of the command")
    started: str = Field(description="time of the start, UTC, ISO 8601")
    config: dict[str, Any] = Field(description="every setting with its value")
    config_sources: dict[str, str] = Field(description="setting -> default, file, environment, flag and the like")
    environment: dict[str, Any] = Field(description="versions of Python and packages, operating system, device")
    model: ModelReport | None = Field(default=None, description="null where scores were made from measurements alone")
    data: dict[str, DataReport] = Field(default={}, description="split -> its rows")
    training: TrainingReport | None = Field(default=None, description="null for an evaluation")
    target: TargetReport | None = Field(default=None, description="null for a fixed schedule")
    efficiency: EfficiencyReport | None = Field(default=None, description="null for what is no run")
    scores: Scores = Field(default={}, description="split -> metric -> scores")
    harness: dict[str, dict[str, float]] = Field(default={}, description="--lm-eval: task -> metric -> value")
    passes: dict[str, dict[str, PassReport]] = Field(default={}, description="split -> before, after, baseline")
    chain: list[EarlierRun] = Field(default=[], description="the runs that this one went on from, oldest first")
    gates: list[GateReport] = Field(default=[], description="the --fail-if expressions")
    attacks: dict[str, AttackLine] = Field(default={}, description="attack -> its line, after `unlearn relearn-attack`")
    artifact: ArtifactReport | None = Field(default=None, description="null for an evaluation")
    calibration: CalibrationReport | None = Field(default=None, description="null without --calibrate")
    seconds: dict[str, float] = Field(default={}, description="phase -> time it took")
    peak_memory: dict[str, int] = Field(default={}, description="bytes: rss, and device where there is one")
    texts: list[str] = Field(default=[], description="files beside this report that hold rows or answers as plain text")
    notes: list[str] = Field(default=[], description="sentences about what a reader should know")

    def headline(self) -> str:
        """What was run, what became of it, and the probabilities before and after."""
        model = self.model.model if self.model else "measurements"
        what = f"{self.command} {self.config.get('method', '')}".strip()
        changes = [
            f"{split}.probability {short(both[0])} -> {short(both[1])}"
            for split in ("forget", "retain")
            if (both := before_and_after(self.scores.get(split, {}).get("probability")))
        ]
        outcome = self.verdict.word if self.verdict else self.status
        return f"{what} on {model}: {outcome}" + (f"; {', '.join(changes)}" if changes else "")

    def table(self) -> list[TableRow]:
        """Every score as a row: before, after, baseline, the 95 % interval, and which way is better."""
        return [
            {"split": split, "metric": metric, **compared.table_row()}
            for split, metrics in self.scores.items()
            for metric, compared in metrics.items()
        ]


def dumps(report: RunReport, only: set[str] | None = None) -> str:
    """The report, or some of its fields, as JSON text."""
    return to_json(report.model_dump(mode="json", include=only))


def report_text(report: RunReport) -> str:
    """The content of a `report.json`."""
    return dumps(report) + "\n"


def write_report(report: RunReport, folder: Path) -> Path:
    """Write `folder/report.json` atomically; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_atomically(path, report_text(report))
    return path


def read_report(folder: Path | str) -> RunReport:
    """The report of a run folder, or of a file.

    Raises:
        UnlearnError: there is none, or not yet, or it is broken or of a newer major version.
    """
    folder = Path(folder)
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
