"""`attacks/NAME/report.json`: what one attack on a run brought back, as a schema that others can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_object
from unlearn_cli.report import FILE, SCHEMA_VERSION, GateReport, Part, finite

SCORED = ("probability", "extraction_strength", "rouge_l")  # metrics whose recovery is reported


class PointReport(Part):
    """One place of a curve: means over the rows, by metric."""

    at: int | float | str
    forget: dict[str, float | None]
    retain: dict[str, float | None] = {}
    details: dict[str, float] = {}


class CurveReport(Part):
    """One model under one setting of the attack."""

    role: Literal["unlearned", "original", "baseline"]
    parameters: dict[str, Any]
    points: list[PointReport]


class RecoveryPoint(Part):
    """Normalised recovery at one place under one setting, averaged over seeds."""

    at: int | float | str
    parameters: dict[str, Any]
    value: float | None
    ci: tuple[float, float] | None = Field(default=None, description="95 % bootstrap interval over rows")
    gain: float | None = Field(default=None, description="what the baseline gains by the same attack, in the same units")
    retain: float | None = Field(default=None, description="probability of the rows to keep, after the attack")


class RecoveryReport(Part):
    """How much comes back, by one metric: 0 as if never learnt, 1 as before unlearning."""

    start: float | None = Field(description="before the attack: what was not forgotten in the first place, or its bound")
    max: float | None = Field(description="the attacker's best setting and place")
    ci: tuple[float, float] | None
    at: int | float | str | None
    parameters: dict[str, Any]
    gain: float | None = Field(description="of the baseline, there; null without one")
    area: float | None = Field(default=None, description="mean along the curve of the best setting")
    half_at: int | float | str | None = Field(default=None, description="first place of that curve at which half is back")
    points: list[RecoveryPoint]


class AttackReport(Part):
    """The whole report."""

    schema_version: str = SCHEMA_VERSION
    command: Literal["relearn-attack"] = "relearn-attack"
    attack: str
    along: str
    run: str
    verdict: str
    upper_bound: bool = Field(
        description="no baseline was attacked alike: recovery counts from a score of 0, and the truth may lie lower"
    )
    config: dict[str, Any]
    environment: dict[str, Any]
    forget_sha256: str
    judged_rows: int
    attacker_rows: int
    overlap: int = Field(description="judged answers that share eight words in a row with the attacker's rows")
    curves: list[CurveReport]
    recovery: dict[str, RecoveryReport] = Field(description="by metric")
    gates: list[GateReport] = []
    seconds: float
    notes: list[str] = []


def dumps(reports: list[AttackReport]) -> str:
    """The reports as one JSON object, by attack."""
    by_attack = {report.attack: report.model_dump(mode="json") for report in reports}
    content = finite({"command": "relearn-attack", "attacks": by_attack})
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def write_attack(report: AttackReport, folder: Path) -> Path:
    """Write `folder/report.json` atomically; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_atomically(path, json.dumps(finite(report.model_dump(mode="json")), indent=2, ensure_ascii=False) + "\n")
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
        return AttackReport.model_validate(read_object(path, hint))
    except (ValidationError, RecursionError) as error:
        raise UnlearnError(f"{path} is no report of an attack: {str(error).splitlines()[0]}", hint) from None
