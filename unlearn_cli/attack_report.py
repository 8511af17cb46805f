"""`attacks/NAME/report.json`: the result of one attack on a run, as a schema that others can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from unlearn_cli.atomic import write_atomically
from unlearn_cli.contract import Recovered
from unlearn_cli.display import Displayed, TableRow
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import finite, read_object, to_json
from unlearn_cli.report import FILE, SCHEMA_VERSION
from unlearn_cli.report_parts import Config, GateReport, Part, problem_of

METRIC: Recovered = "probability"
SCORED: tuple[Recovered, ...] = get_args(Recovered)
RECOVERED = 0.1  # recovery from which on rows count as brought back


class PointReport(Part):
    """One place of a curve: means over the rows, by metric."""

    at: int | float | str = Field(description="place along the attack: a step, a number of bits, the name of a wording")
    forget: dict[str, float | None] = Field(description="metric -> mean over the judged forget rows")
    retain: dict[str, float | None] = Field(default={}, description="metric -> mean over the retain rows")
    details: dict[str, float] = Field(default={}, description="further numbers of this place")


class CurveReport(Part):
    """One model under one setting of the attack."""

    role: Literal["unlearned", "original", "baseline", "control"] = Field(
        description="which of the attacked models; each of several baselines has a curve"
    )
    parameters: dict[str, Any] = Field(description="setting of the attack, such as rate and seed")
    points: list[PointReport] = Field(description="places along the attack, in order")


class RecoveryPoint(Part):
    """Normalized recovery at one place under one setting, averaged over seeds."""

    at: int | float | str = Field(description="place along the attack")
    parameters: dict[str, Any] = Field(description="setting of the attack, without the seed")
    value: float | None = Field(description="recovery; null where it cannot be told")
    ci: tuple[float, float] | None = Field(
        default=None, description="95 % bootstrap interval over rows, widened for few; null for one row"
    )
    gain: float | None = Field(default=None, description="what the baseline gains by the same attack, in the same units")
    retain: float | None = Field(default=None, description="probability of the rows to keep, after the attack")


class RecoveryReport(Part):
    """Recovery by one metric: 0 as if the rows were never learned, 1 as before unlearning."""

    start: float | None = Field(description="before the attack: what was not forgotten in the first place, or its bound")
    max: float | None = Field(description="the attacker's best setting and place")
    ci: tuple[float, float] | None = Field(description="95 % bootstrap interval of `max` over rows; null for one row")
    at: int | float | str | None = Field(description="place of `max`")
    parameters: dict[str, Any] = Field(description="setting of `max`")
    gain: float | None = Field(description="of the baseline, there; null without one")
    against: list[float | None] = Field(
        default=[], description="of several baselines: `max` measured from each of them alone, in their order"
    )
    area: float | None = Field(default=None, description="mean along the curve of the best setting")
    half_at: int | float | str | None = Field(default=None, description="first place of that curve at which half is back")
    worst: dict[str, float] = Field(
        default={},
        description="row -> its own recovery, of the few rows that come back most; each at the place and setting that bring "
        "it back most, averaged over seeds; a row that the original hardly knew has none",
    )
    points: list[RecoveryPoint] = Field(description="every place under every setting")


class Budget(Part):
    """What the attacker spent."""

    curves: int = Field(description="settings tried on each model")
    steps: int = Field(description="of the longest training; 0: nothing is trained")
    learning_rates: list[float] = Field(description="of the fine-tuning")
    seeds: list[int] = Field(description="that curves are averaged over")
    rows: int = Field(description="that the attacker trains on or shows")


class PositiveControl(Part):
    """The same attack on a run by a weak method, which shows whether the attack can succeed. Values as of recovery."""

    run: str = Field(description="folder of that run")
    start: float | None = Field(description="before the attack")
    max: float | None = Field(description="the attacker's best setting and place")
    at: int | float | str | None = Field(description="that place")
    succeeded: bool = Field(description="at least a tenth of the original knowledge came back")

    def in_words(self, attack: str) -> str:
        """A sentence on whether this attack can succeed."""
        if self.max is None or self.start is None:
            return f"{attack}: the positive control has no value"
        figures = f"on {self.run} it brings {self.start:.0%} up to {self.max:.0%}"
        if self.succeeded:
            return f"{attack}: the positive control shows that this attack can succeed: {figures}"
        return f"{attack}: the positive control fails: {figures}; so a low recovery by this attack shows nothing"


class AttackReport(Displayed, Part):
    """The whole report."""

    schema_version: str = Field(default=SCHEMA_VERSION, description="version of this schema, as MAJOR.MINOR")
    command: Literal["relearn-attack"] = Field(default="relearn-attack", description="the command that wrote the report")
    attack: str = Field(description="name of the attack")
    shown_metric: Recovered = Field(default=METRIC, description="the metric by which the attack brings answers back")
    along: str = Field(description="what `at` counts, such as steps or bits")
    run: str = Field(description="the attacked run folder")
    verdict: str = Field(description="what came back, in a sentence")
    upper_bound: bool = Field(
        description="no baseline was attacked alike: recovery counts from a score of 0, and the truth may lie lower"
    )
    config: Config = Field(description="every setting with its value")
    environment: dict[str, Any] = Field(description="versions of Python and packages, operating system, device")
    forget_sha256: str = Field(description="hash of the run's forget rows")
    judged_rows: int = Field(description="forget rows that judge")
    attacker_rows: int = Field(description="forget rows that the attacker was given")
    overlap: int = Field(description="judged answers that share eight words in a row with the attacker's rows")
    curves: list[CurveReport] = Field(description="one for each attacked model and setting")
    recovery: dict[str, RecoveryReport] = Field(description="by metric")
    budget: Budget | None = Field(default=None, description="what the attacker spent")
    not_tried: list[str] = Field(default=[], description="attacks, and ways of this attack, that were left out")
    control: PositiveControl | None = Field(default=None, description="null: no --control was given")
    gates: list[GateReport] = Field(default=[], description="the --fail-if expressions")
    seconds: float = Field(description="time of the attack")
    notes: list[str] = Field(default=[], description="sentences about what a reader should know")

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, fields: Any) -> Any:
        """Such a report does not name the metric."""
        if isinstance(fields, dict) and fields.get("attack") == "sample":
            return {"shown_metric": "rouge_l", **fields}
        return fields

    @field_validator("recovery")
    @classmethod
    def _by_what_is_shown(cls, recovery: dict[str, RecoveryReport], known: ValidationInfo) -> dict[str, RecoveryReport]:
        if missing := {METRIC, known.data.get("shown_metric", METRIC)} - set(recovery):
            raise ValueError(f"it has none by {' and '.join(sorted(missing))}")
        return recovery

    @property
    def shown(self) -> RecoveryReport:
        """Recovery by the metric by which the attack brings answers back."""
        return self.recovery[self.shown_metric]

    @property
    def came_back(self) -> bool:
        """Whether answers came back. By another metric than probability, an upper bound does not show it.

        A model that never had the rows scores on other metrics too, so only a baseline says which part came back.
        """
        shows_it = self.shown_metric == METRIC or not self.upper_bound
        return shows_it and (self.shown.max or 0.0) > RECOVERED

    def headline(self) -> str:
        """The attack and its verdict."""
        return f"{self.attack} on {self.run}: {self.verdict}"

    def table(self) -> list[TableRow]:
        """Recovery of each metric at each place under each setting."""
        return [
            {"metric": metric, "at": point.at, "recovery": point.value, "low": low, "high": high, "gain": point.gain,
             "retain": point.retain, **point.parameters}
            for metric, recovery in self.recovery.items()
            for point in recovery.points
            for low, high in [point.ci or (None, None)]
        ]  # fmt: skip


def dumps(reports: list[AttackReport]) -> str:
    """The reports as one JSON object, by attack."""
    by_attack = {report.attack: report.model_dump(mode="json") for report in reports}
    return to_json({"command": "relearn-attack", "attacks": by_attack})


def write_attack(report: AttackReport, folder: Path) -> Path:
    """Write `folder/report.json` atomically; returns its path."""
    path = folder / FILE
    write_atomically(path, to_json(report.model_dump(mode="json")) + "\n")
    return path


def is_attack(path: Path) -> bool:
    """Whether a file, or the report in a folder, is an attack's."""
    try:
        return read_object(path / FILE if path.is_dir() else path, "").get("command") == "relearn-attack"
    except UnlearnError:
        return False


def read_attack(path: Path) -> AttackReport:
    """Read an attack's report from a file or a folder.

    Raises:
        UnlearnError: there is none, or it is broken.
    """
    path = path / FILE if path.is_dir() else path
    hint = "the report.json that `unlearn relearn-attack` wrote is expected"
    try:
        return AttackReport.model_validate(finite(read_object(path, hint)))
    except (ValidationError, RecursionError) as error:
        raise UnlearnError(f"{path} is no report of an attack: {problem_of(error)}", hint) from None
