"""Compute the curves that are not on disk yet. The models are first measured before any attack."""

from __future__ import annotations

from contextlib import nullcontext

from unlearn_cli.attacks._target import Place, Target
from unlearn_cli.console import ProgressBar
from unlearn_cli.errors import StorageError, UnlearnError
from unlearn_cli.evaluation.baseline import METRIC, UNKNOWN, check_baseline
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.recipes.attacking.curves import (
    CurvePoint,
    Curves,
    CurveSpec,
    curve_path,
    order,
    read_curve,
    scored,
    write_curve,
)
from unlearn_cli.recipes.attacking.settings import ConfiguredAttack


def compute_curves(models: AttackedModels, attacks: list[ConfiguredAttack]) -> tuple[Curves, set[str]]:
    """The curve of each model under each attack and setting, read or computed; and the names of impossible attacks.

    Raises:
        UnlearnError: the baseline knows the forget rows, or an attack that --attack names is not possible.
    """
    starts, attacked = _specs(models, attacks)
    curves = Curves()
    for spec in (*starts, *attacked):
        points = read_curve(curve_path(models, spec))
        if points is not None:
            curves.add(spec, points)
    missing_starts, missing = ([spec for spec in specs if spec not in curves] for specs in (starts, attacked))
    count, total = len(missing_starts) + len(missing), len(starts) + len(attacked)
    if count < total:
        models.reporter.say(f"stored by an earlier call: {total - count} of {total} curves")
    progress = models.reporter.progress("attack curves", count) if count else nullcontext(ProgressBar("", 0, 0))
    with progress as bar:
        for spec in missing_starts:
            _save(models, spec, compute_points(_target(models, spec, bar), spec), curves, bar)
        _check_starts(models, curves)
        left_out = _compute_attacks(models, missing, curves, bar)
    for spec in (*starts, *attacked):
        if spec.role != "original" and spec.name not in left_out:
            _check_alike(models, curves, spec)
    return curves, left_out


def _check_alike(models: AttackedModels, curves: Curves, spec: CurveSpec) -> None:
    """Refuse a stored curve of other rows or places than the original's. A run folder may come from a stranger.

    Raises:
        UnlearnError: it is one.
    """
    start, same = CurveSpec("original"), CurveSpec("original", spec.attack, spec.setting)
    own_rows = spec.attack is not None and spec.attack.own_rows
    others = [*([] if own_rows else curves.points(start)[:1]), *(curves.points(same) if same in curves else [])]
    points = curves.points(spec)
    other_rows = len({len(point.forget[METRIC]) for point in (*points, *others)}) > 1
    if other_rows or (same in curves and [p.at for p in points] != [p.at for p in curves.points(same)]):
        raise UnlearnError(
            f"{curve_path(models, spec)} is no curve of this attack on these rows", "remove the file: it is computed again"
        )


def _specs(models: AttackedModels, attacks: list[ConfiguredAttack]) -> tuple[list[CurveSpec], list[CurveSpec]]:
    """The curves before any attack, and those under attacks."""
    roles = sorted({*models.roles, "original"}, key=order)
    attacked = [
        CurveSpec(role, one.attack, setting)
        for role in reversed(roles)  # the last measured model is still in memory, so the attacks begin with it
        if role in models.roles
        for one in attacks
        for setting in one.settings
    ]
    return [CurveSpec(role) for role in roles], attacked


def _compute_attacks(models: AttackedModels, specs: list[CurveSpec], curves: Curves, bar: ProgressBar) -> set[str]:
    """Compute curves under attacks. In a suite, impossible attacks are left out; returns their names."""
    left_out: set[str] = set()
    for spec in specs:
        if spec.name in left_out:
            continue
        target = _target(models, spec, bar)
        try:
            points = compute_points(target, spec)
        except UnlearnError as error:
            reason = error.message.removeprefix(f"{spec.name}: ")
            if models.config.attack or models.config.suite is None:
                raise UnlearnError(f"{spec.name}: {reason}", error.hint, error.exit_code) from error
            models.reporter.note(f"{spec.name} left out: {reason}")
            left_out.add(spec.name)
            continue
        _save(models, spec, points, curves, bar)
    return left_out


def _target(models: AttackedModels, spec: CurveSpec, bar: ProgressBar) -> Target:
    return models.target(spec.role, lambda at: bar.advance(0, _in_words(spec, at)))


def _save(models: AttackedModels, spec: CurveSpec, points: list[CurvePoint], curves: Curves, bar: ProgressBar) -> None:
    path = curve_path(models, spec)
    try:
        write_curve(path, points)
    except StorageError:
        if spec.role == "unlearned":
            raise
        # The cache that runs share saves time alone.
        note = (
            "curves of the original model and of baselines are not kept for later attacks: "
            f"{path.parent} cannot be written; UNLEARN_CACHE=DIR names another folder"
        )
        if note not in models.reporter.notes:
            models.reporter.note(note)
    curves.add(spec, points)
    bar.advance(1)


def compute_points(target: Target, spec: CurveSpec) -> list[CurvePoint]:
    """The curve of an attack on a model with one setting."""
    if spec.attack is None:
        with target.active():
            return scored([target.measure(0)])
    return scored(spec.attack.function(target, **spec.setting))


def _in_words(spec: CurveSpec, at: Place) -> str:
    """A place for the progress line, such as `relearn on the original model, step 15`."""
    if spec.attack is None:
        return f"the {spec.role} model before any attack"
    return f"{spec.name} on the {spec.role} model, {spec.attack.along} {at}"


def _check_starts(models: AttackedModels, curves: Curves) -> None:
    """Refuse a baseline that knows the forget rows, before any attack is paid for."""
    samples = models.config.bootstrap_samples
    original = curves.start_probability("original", samples)
    for role, model in models.baselines.items():
        name = "this baseline" if role == "baseline" else f"--baseline {model}"
        check_baseline(curves.start_probability(role, samples), original, name)
    if original is not None and (original.value or 0.0) < UNKNOWN:
        models.reporter.note(
            f"the original model gives the forget answers probability {original.value or 0.0:.2g}: it did not know them, so "
            "an attack cannot bring them back, and recovery means nothing"
        )
