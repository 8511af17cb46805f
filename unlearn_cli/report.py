"""`report.json`: the evidence of a run, as a schema that others can read.

Numbers that do not exist are null with a reason; the file is always valid JSON. The schema is `unlearn report schema`;
within a major version fields are only added.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from unlearn_cli.atomic import write_atomically
from unlearn_cli.display import Displayed, TableRow, short
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import finite, read_object, to_json
from unlearn_cli.registry import closest
from unlearn_cli.report_parts import (
    ArtifactReport,
    AttackLine,
    CalibrationReport,
    Config,
    DataReport,
    EarlierRun,
    EfficiencyReport,
    GateReport,
    ModelReport,
    Part,
    PassReport,
    TargetReport,
    TrainingReport,
    problem_of,
)  # fmt: skip

SCHEMA_VERSION = "1.0"
FILE = "report.json"
ROWS = "rows.jsonl"  # beside it: every metric's value for every row, without text
LISTED = 3  # runs that a message names
MANIFEST = "sweep.json"  # of a sweep: the run spec of each run folder
EVALUATION = "evaluation"  # in a run folder: the report of a later `unlearn evaluate`
RUN_SPEC = "plan.json"  # beside it: what decides the result of the run, and its number of steps
CHECKPOINTS, STEPS = "checkpoints", "step-*.pt"

Status = Literal["completed", "stopped", "interrupted", "diverged", "collapsed", "no_effect", "not_reached"]
UNUSABLE: tuple[Status, ...] = ("diverged", "collapsed", "no_effect")  # is never the best of a comparison
FAILED: tuple[Status, ...] = (*UNUSABLE, "not_reached")  # exit code 4, as the verdict DAMAGED

VerdictWord = Literal[
    "REACHED", "COMPLETED", "STOPPED", "NOT REACHED", "DAMAGED", "OVER-FORGOTTEN", "NOT KNOWN BEFORE", "NO EFFECT",
    "DIVERGED",
]  # fmt: skip


class Score(Part):
    """One metric on one split under one model."""

    value: float | None = Field(description="null where `reason` says why")
    ci: tuple[float, float] | None = Field(
        default=None, description="95 % bootstrap interval over rows, widened for few; null for one row"
    )
    n: int = Field(description="rows with a value")
    smallest: float | None = Field(default=None, description="of a row; null: the metric has no value for each row")
    largest: float | None = Field(default=None, description="the same")
    dropped: int = Field(default=0, description="rows without a value, left out")
    target: Literal["min", "max", "baseline"] | None = Field(default=None, description="which way is better on this split")
    range: tuple[float, float | None] = Field(
        default=(0.0, None), description="smallest and largest possible value; null: unbounded"
    )
    reason: str | None = Field(default=None, description="why there is no value; null where there is one")
    details: dict[str, float] = Field(default={}, description="further numbers of the same comparison, where they exist")

    @field_validator("range")
    @classmethod
    def _without_infinity(cls, limits: tuple[float, float | None]) -> tuple[float, float | None]:
        low, high = limits
        return low, None if high is not None and math.isinf(high) else high

    @field_validator("details", mode="before")
    @classmethod
    def _known(cls, details: Any) -> Any:
        if not isinstance(details, dict):
            return details
        # Earlier reports have `generalised_low` and `generalised_high`.
        known = {n: v for n, v in details.items() if v is not None and not (isinstance(v, float) and not math.isfinite(v))}
        return {name.replace("generalised", "generalized"): value for name, value in known.items()}


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
    baselines: list[float | None] = Field(
        default=[], description="the values under the second and each further model of --baseline, in their order"
    )
    against: list[float | None] = Field(
        default=[], description="the values after, of a metric that needs a baseline, compared with each of these models"
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


class Verdict(Part):
    """What became of a run: one word, why, and what to do."""

    word: VerdictWord = Field(description="what became of it")
    why: str = Field(description="in one line")
    next: list[str] = Field(default=[], description="commands that mend it, or that go on; each can be pasted")


class RunReport(Displayed, Part):
    """The whole report."""

    schema_version: str = Field(default=SCHEMA_VERSION, description="version of this schema, as MAJOR.MINOR")
    command: Literal["forget", "evaluate"] = Field(description="the command that wrote the report")
    status: Status = Field(description="how the run ended; the last four mean exit code 4, as the verdict DAMAGED does")
    message: str | None = Field(default=None, description="why it ended so; null where there is nothing to say")
    verdict: Verdict | None = Field(default=None, description="null where nothing was measured before and after")
    command_line: list[str] = Field(description="arguments of the command")
    started: str = Field(description="time of the start, UTC, ISO 8601")
    config: Config = Field(description="every setting with its value")
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
    seconds: dict[str, float] = Field(default={}, description="phase -> time it took, without phases inside it")
    peak_memory: dict[str, int] = Field(default={}, description="bytes: rss, and device where there is one")
    texts: list[str] = Field(default=[], description="files beside this report that hold rows or answers as plain text")
    notes: list[str] = Field(default=[], description="sentences about what a reader should know")

    @property
    def failed(self) -> bool:
        """Whether `unlearn forget` ends with exit code 4: by its status, or because its verdict is DAMAGED."""
        return self.status in FAILED or (self.verdict is not None and self.verdict.word == "DAMAGED")

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
    path = folder / FILE
    write_atomically(path, report_text(report))
    return path


def _run_beside(folder: Path) -> Path | None:
    """The run beside a folder that does not exist, whose name is the most similar; None if there is none."""
    if folder.exists() or not folder.parent.is_dir():
        return None
    name = closest(folder.name, [path.parent.name for path in folder.parent.glob(f"*/{FILE}")])
    return folder.with_name(name) if name else None


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
        hint = "a folder written by `unlearn forget` is expected"
        if runs := sorted(str(path.parent) for path in folder.glob(f"*/{FILE}")):
            hint = f"runs in it: {', '.join(runs[:LISTED])}{', ...' if len(runs) > LISTED else ''}"
        if guess := _run_beside(folder):
            hint = f"did you mean {guess}? {hint}"
        if (folder / "config.json").is_file():
            hint = f"it holds a model; to measure one: unlearn evaluate --model {shlex.quote(str(folder))} -f FILE --json"
        raise UnlearnError(f"{folder} is not a run folder: it has no {FILE}", hint)
    if path == folder and path.suffix != ".json":
        raise UnlearnError(
            f"{path} is a file, and neither a run folder nor a report", "a folder written by `unlearn forget` is expected"
        )
    hint = "`unlearn report schema` says what a report holds"
    data = read_object(path, "the report.json that a command of `unlearn` wrote is expected")
    try:
        version = str(data.get("schema_version", ""))
        if not version:
            raise UnlearnError(f"{path} is not a report: it has no schema version", hint)
        if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise UnlearnError(
                f"{path} has schema version {version}; this program reads {SCHEMA_VERSION}",
                "read it with the release of unlearn that wrote it",
            )
        if data.get("command") == "relearn-attack":
            raise UnlearnError(
                f"{path} is about an attack on a run, not a run", f"`unlearn report show {shlex.quote(str(path))}` shows it"
            )
        report = RunReport.model_validate(finite(data))
    except (ValidationError, RecursionError) as error:
        raise UnlearnError(f"{path} is not a readable report: {problem_of(error)}", hint) from None
    if report.command == "forget" and report.config.get("model") is None:
        raise UnlearnError(f"{path} is not a readable report: its config names no model", hint)
    return report


def unfinished(folder: Path) -> tuple[str, str] | None:
    """The progress of an unfinished run and how to resume it; None where no run was started."""
    checkpoints = [int(path.stem.removeprefix("step-")) for path in (folder / CHECKPOINTS).glob(STEPS)]
    if not checkpoints and not (folder / RUN_SPEC).is_file():
        return None
    if (folder.parent / MANIFEST).is_file():
        return (f"step {max(checkpoints)}" if checkpoints else "no step is kept"), "the same `unlearn sweep` command goes on"
    again = "the same `unlearn forget` command"
    if not checkpoints:
        return "no step is kept", f"{again} starts it again"
    try:
        steps = read_object(folder / RUN_SPEC, "").get("steps")
    except UnlearnError:
        steps = None
    return f"step {max(checkpoints)}" + (f" of {steps}" if steps else ""), f"{again} with --resume goes on"
