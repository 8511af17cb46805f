"""The recovery by an attack, from its curves, and a verdict in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from unlearn_cli.attack_report import METRIC, SCORED, RecoveryPoint, RecoveryReport
from unlearn_cli.attacks._target import Place, Role
from unlearn_cli.config import AttackConfig
from unlearn_cli.contract import METRICS, Attack
from unlearn_cli.evaluation.recovery import Scores, area, first_at, of_rows, recovery
from unlearn_cli.hashing import fingerprint
from unlearn_cli.recipes.attacking.curves import ROLES, Curves, means
from unlearn_cli.recipes.attacking.settings import ConfiguredAttack, Setting
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED

WORST = 5  # rows that are named
BESIDE: tuple[Role, Role] = ("baseline", "original")


def recovery_by_metric(
    curves: Curves, one: ConfiguredAttack, config: AttackConfig, ids: Sequence[str] = ()
) -> dict[str, RecoveryReport]:
    """Metric -> recovery by an attack. `ids` are those of the rows that judge it, in the order of the curves' scores."""
    return {metric: _recovery_report(curves, one, config, metric, ids) for metric in SCORED}


def _recovery_report(
    curves: Curves, one: ConfiguredAttack, config: AttackConfig, metric: str, ids: Sequence[str]
) -> RecoveryReport:
    draw = {"samples": config.bootstrap_samples, "seed": BOOTSTRAP_SEED}
    starts = {role: point.forget[metric] for role in ROLES if (point := curves.start(role)) is not None}
    smallest = METRICS.get(metric).range[0]
    lowest = np.full_like(starts["original"], smallest)
    floor_start = starts["baseline"] if config.baseline else lowest
    points: list[RecoveryPoint] = []
    rows: list[Scores] = []
    for seeds in over_seeds(one.settings):
        parameters = _without_seed(seeds[0])
        baseline, original = (curves.averaged(role, one.attack, seeds) for role in BESIDE)
        for at, point in curves.averaged("unlearned", one.attack, seeds).items():
            attacked = point.forget[metric]
            floor = baseline[at].forget[metric] if config.baseline else np.full_like(attacked, smallest)
            known, unknown = starts["original"], floor_start
            if one.attack.own_rows:
                known, unknown = original[at].forget[metric], floor
            result = recovery(attacked, known, floor, unknown, **draw)
            if result.value is not None and at != 0:
                rows.append(of_rows(attacked, known, floor, unknown))
            points.append(
                RecoveryPoint(
                    at=at,
                    parameters=parameters,
                    value=result.value,
                    ci=result.ci,
                    gain=result.gain if config.baseline else None,
                    retain=means(point.retain).get("probability"),
                )  # fmt: skip
            )
    start = recovery(starts["unlearned"], starts["original"], floor_start, floor_start, **draw).value
    scored = [(p.value, p) for p in points if p.value is not None and p.at != 0]
    if not scored:
        return RecoveryReport(start=start, max=None, ci=None, at=None, parameters={}, gain=None, points=points)
    _, best = max(scored, key=lambda pair: pair[0])
    curve = [(p.at, p.value) for p in points if p.parameters == best.parameters and p.value is not None]
    baselines = [f"baseline {number}" for number in range(1, len(config.baseline) + 1)] if len(config.baseline) > 1 else []
    against = [_against(curves, one, metric, best, role, draw) for role in baselines]
    places, values = [at for at, _ in curve], [value for _, value in curve]
    return RecoveryReport(
        start=start, max=best.value, ci=best.ci, at=best.at, parameters=best.parameters, gain=best.gain,
        against=against, area=area(places, values), half_at=first_at(places, values, 0.5), worst=_worst(rows, ids),
        points=points,
    )  # fmt: skip


def _worst(rows: list[Scores], ids: Sequence[str]) -> dict[str, float]:
    """The rows that come back most, by id, each at the place and under the setting that bring that row back most."""
    best = np.fmax.reduce(rows)
    order = [row for row in np.argsort(-best, kind="stable") if not np.isnan(best[row])]
    named: dict[str, float] = {}
    for row in order[:WORST] if ids else []:
        named.setdefault(ids[row], float(best[row]))  # several rows may have an id
    return named


def _against(
    curves: Curves, one: ConfiguredAttack, metric: str, best: RecoveryPoint, role: Role, draw: dict[str, int]
) -> float | None:
    """Recovery at `best` if one of several baselines, `role`, is the only one."""
    settings = next(s for s in over_seeds(one.settings) if _without_seed(s[0]) == best.parameters)
    own, original, floor = (
        curves.averaged(name, one.attack, settings).get(best.at) for name in ("unlearned", "original", role)
    )
    if one.attack.own_rows:
        known, unknown = original, floor
    else:
        known, unknown = curves.start("original"), curves.start(role)
    if own is None or floor is None or known is None or unknown is None:
        return None
    return recovery(own.forget[metric], known.forget[metric], floor.forget[metric], unknown.forget[metric], **draw).value


def _without_seed(setting: Setting) -> Setting:
    return {name: value for name, value in setting.items() if name != "seed"}


def over_seeds(settings: list[Setting]) -> Iterator[list[Setting]]:
    """Groups of settings that differ only in their seed."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(fingerprint(_without_seed(setting)), []).append(setting)
    yield from groups.values()


def verdict(attack: Attack, result: RecoveryReport, *, upper_bound: bool) -> str:
    """The result of an attack in one or two sentences."""
    if result.max is None or result.at is None:
        return f"{attack.name}: no result: no row has a value, or the models do not differ before the attack"
    by = "" if attack.shows == METRIC else f", by {attack.shows},"
    where = _where(attack.along, result.at)
    rate = result.parameters.get("learning_rate")
    at_rate = f" at learning rate {rate:g}" if rate is not None else ""
    interval = f" ({result.ci[0]:.0%} to {result.ci[1]:.0%})" if result.ci else " (one row, so no interval)"
    start = f"{result.start or 0.0:.0%}"
    worst = _worst_in_words(result, upper_bound=upper_bound)
    if upper_bound:
        return (
            f"{attack.name}: at most {result.max:.0%}{interval} of the original knowledge{by} is there {where}{at_rate}, "
            f"at most {start} before the attack; these are upper bounds, because no baseline was attacked in the same way"
            f"{worst}"
        )
    never = "" if start == "0%" else f"; {start} was never forgotten"
    several = [value for value in result.against if value is not None]
    who = f"{len(result.against)} baselines gain on average" if result.against else "the baseline gains"
    gain = "" if result.gain is None else f"; {who} {max(0.0, result.gain):.0%}"
    if several:
        gain += f", and measured from each of them recovery is {min(several):.0%} to {max(several):.0%}"
    end = f"{never}{gain}{worst}"
    return f"{attack.name}: {result.max:.0%}{interval} of the original knowledge{by} is there {where}{at_rate}{end}"


def _worst_in_words(result: RecoveryReport, *, upper_bound: bool) -> str:
    """The row that comes back most, as the end of a verdict; empty without one."""
    for row, value in result.worst.items():
        return f". The worst row is {row}: {'at most ' if upper_bound else ''}{value:.0%} of it comes back"
    return ""


def _where(along: str, at: Place) -> str:
    """A place of a curve in words."""
    if along == "bits":
        return f"in {at}" if isinstance(at, str) else f"in {at} bits"  # a format by name, or a number of bits
    phrases = {
        "step": "within {} steps", "wording": "with the wording '{}'", "percent": "at {} percent", "shots": "with {} shots",
        "draws": "in the best of {} draws", "questions": "under {} other questions", "depth": "at {} percent of the depth",
    }  # fmt: skip
    return phrases.get(along, f"at {along} {{}}").format(at)
