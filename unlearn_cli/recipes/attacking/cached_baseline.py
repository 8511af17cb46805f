"""The baseline of earlier attack reports. It is used again if its curves are cached, else a note says that it is lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import knows_rows
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.recipes.attacking.curves import CurvePoint, Curves, CurveSpec, curve_path, read_curve
from unlearn_cli.recipes.attacking.settings import ConfiguredAttack
from unlearn_cli.recipes.scoring.superseded import loss_in_words
from unlearn_cli.report import FILE


@dataclass(frozen=True)
class CachedBaseline:
    """A baseline model, and the attacks for which all its curves are cached."""

    model: str | None = None
    attacks: list[str] = field(default_factory=list)


def add_cached_baseline(curves: Curves, models: AttackedModels, attacks: list[ConfiguredAttack]) -> CachedBaseline:
    """Add the cached curves of the baseline of earlier reports; none if --baseline names a model.

    A baseline that knows the forget rows is not used.
    """
    reports = {} if models.config.baseline else _earlier_reports(models, attacks)
    for model in dict.fromkeys(report.config["baseline"] for report in reports.values() if not report.upper_bound):
        config = models.config.model_copy(update={"baseline": model})
        earlier = AttackedModels(config, models.run, models.data, models.reporter)
        try:
            start = read_curve(curve_path(earlier, CurveSpec("baseline")))
        except UnlearnError:  # the model is gone
            continue
        by_attack = {one.name: _cached_curves(earlier, one) for one in attacks} if start else {}
        complete = {name: cached for name, cached in by_attack.items() if cached is not None}
        if not start or not complete:
            continue
        curves.add(CurveSpec("baseline"), start)
        samples = config.bootstrap_samples
        if knows_rows(curves.start_probability("baseline", samples), curves.start_probability("original", samples)):
            models.reporter.note(f"{model} knows the forget rows, so its stored curves are not used as a baseline")
            return CachedBaseline()
        for cached in complete.values():
            for spec, points in cached:
                curves.add(spec, points)
        return CachedBaseline(model, list(complete))
    return CachedBaseline()


def _cached_curves(models: AttackedModels, one: ConfiguredAttack) -> list[tuple[CurveSpec, list[CurvePoint]]] | None:
    """The baseline's curves of an attack, one for each setting; None if one of them is missing."""
    cached = []
    for setting in one.settings:
        spec = CurveSpec("baseline", one.attack, setting)
        points = read_curve(curve_path(models, spec))
        if points is None:
            return None
        cached.append((spec, points))
    return cached


def replacement_notes(models: AttackedModels, attacks: list[ConfiguredAttack], cached: CachedBaseline) -> list[str]:
    """A note for each earlier report that will be replaced although it has more rows or a baseline."""
    notes = []
    for name, report in _earlier_reports(models, attacks).items():
        rows = report.judged_rows if report.judged_rows > len(models.data.eval_forget) else None
        baseline = not report.upper_bound and not models.config.baseline and name not in cached.attacks
        if lost := loss_in_words({"judged": rows} if rows else {}, baseline=baseline):
            notes.append(f"{name}: replaces a report {lost}")
    return notes


def _earlier_reports(models: AttackedModels, attacks: list[ConfiguredAttack]) -> dict[str, AttackReport]:
    """Attack -> its earlier report, if it can be read."""
    reports = {}
    for one in attacks:
        try:
            reports[one.name] = read_attack(models.config.run / "attacks" / one.name / FILE)
        except UnlearnError:
            continue
    return reports
