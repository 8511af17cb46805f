"""The baseline of earlier attack reports. It is used again if its curves are cached, else a note says that it is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

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
    """Baselines, and the attacks whose curves of them are all cached."""

    models: tuple[str, ...] = ()
    attacks: list[str] = field(default_factory=list)


def add_cached_baseline(curves: Curves, models: AttackedModels, attacks: list[ConfiguredAttack]) -> CachedBaseline:
    """Add the cached curves of the baseline of earlier reports; none if --baseline names a model.

    A baseline that knows the forget rows is not used.
    """
    reports = {} if models.config.baseline else _earlier_reports(models, attacks)
    given_earlier = dict.fromkeys(baselines(report) for report in reports.values() if not report.upper_bound)
    for given in filter(None, given_earlier):
        config = models.config.model_copy(update={"baseline": given})
        earlier = AttackedModels(config, models.run, models.data, models.reporter)
        try:
            starts = {role: read_curve(curve_path(earlier, CurveSpec(role))) for role in earlier.baselines}
        except UnlearnError:  # a model is gone
            continue
        by_attack = {one.name: _cached_curves(earlier, one) for one in attacks} if all(starts.values()) else {}
        complete = {name: cached for name, cached in by_attack.items() if cached is not None}
        if not complete:
            continue
        samples = config.bootstrap_samples
        for role, start in starts.items():
            curves.add(CurveSpec(role), start or [])
            if knows_rows(curves.start_probability(role, samples), curves.start_probability("original", samples)):
                model = earlier.baselines[role]
                models.reporter.note(f"{model} knows the forget rows, so its stored curves are not used as a baseline")
                return CachedBaseline()
        for cached in complete.values():
            for spec, points in cached:
                curves.add(spec, points)
        return CachedBaseline(given, list(complete))
    return CachedBaseline()


def baselines(report: AttackReport) -> tuple[str, ...]:
    """The baselines of an earlier report, which may be of a release that took one."""
    given = report.config.get("baseline") or ()
    return (given,) if isinstance(given, str) else tuple(given)


def _cached_curves(models: AttackedModels, one: ConfiguredAttack) -> list[tuple[CurveSpec, list[CurvePoint]]] | None:
    """The baselines' curves of an attack, one for each setting; None if one of them is missing."""
    cached = []
    for role, setting in product(models.baselines, one.settings):
        spec = CurveSpec(role, one.attack, setting)
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
