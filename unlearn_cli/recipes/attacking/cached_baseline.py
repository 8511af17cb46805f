"""What earlier reports of attacks hold that a new one would lose: used again where it applies, told of where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.contract import Attack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.recipes.attacking.curves import CurvePoint, place, read_curve
from unlearn_cli.recipes.scoring.superseded import in_words
from unlearn_cli.report import FILE

Kept = list[tuple[dict[str, Any], list[CurvePoint]]]  # setting and points


@dataclass(frozen=True)
class Lent:
    """The baseline of earlier reports, where all its curves are kept."""

    model: str | None = None
    start: list[CurvePoint] | None = None  # before any attack
    curves: dict[str, Kept] = field(default_factory=dict)  # by attack


def lent_baseline(models: AttackedModels, attacks: list[Attack], settings: Mapping[str, list[dict[str, Any]]]) -> Lent:
    """The baseline that an earlier report of one of the attacks had, for those attacks whose curves of it are kept."""
    earlier = {} if models.config.baseline else _earlier(models, attacks)
    for model in dict.fromkeys(report.config["baseline"] for report in earlier.values() if not report.upper_bound):
        asked = models.config.model_copy(update={"baseline": model})
        theirs = AttackedModels(asked, models.run, models.data, models.reporter)
        try:
            start = read_curve(*place(theirs, "baseline", None, {}))
        except UnlearnError:  # the model is gone
            continue
        curves = {}
        for attack in attacks if start else ():
            kept = [(one, read_curve(*place(theirs, "baseline", attack, one))) for one in settings[attack.name]]
            if all(points is not None for _, points in kept):
                curves[attack.name] = kept
        if curves:
            return Lent(model, start, curves)
    return Lent()


def replaced(models: AttackedModels, attacks: list[Attack], lent: Lent) -> list[str]:
    """In words, where a report on more is about to be replaced."""
    told = []
    for name, report in _earlier(models, attacks).items():
        rows = report.judged_rows if report.judged_rows > len(models.data.eval_forget) else None
        baseline = not report.upper_bound and not models.config.baseline and name not in lent.curves
        if lost := in_words({"judged": rows} if rows else {}, baseline=baseline):
            told.append(f"{name}: replaces a report {lost}")
    return told


def _earlier(models: AttackedModels, attacks: list[Attack]) -> dict[str, AttackReport]:
    """Reports that can be read, by attack."""
    made = {}
    for attack in attacks:
        try:
            made[attack.name] = read_attack(models.config.run / "attacks" / attack.name / FILE)
        except UnlearnError:
            continue
    return made
