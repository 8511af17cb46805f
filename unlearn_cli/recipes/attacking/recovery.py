"""From curves to recovery and to words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unlearn_cli.attack_report import SCORED, CurveReport, PointReport, RecoveryPoint, RecoveryReport
from unlearn_cli.attacks._target import Role
from unlearn_cli.config import AttackConfig
from unlearn_cli.contract import METRICS, Attack
from unlearn_cli.evaluation.recovery import area, first_at, recovery
from unlearn_cli.recipes.attacking.curves import CurvePoint
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED
from unlearn_cli.report import fingerprint

Setting = dict[str, Any]
START = "start"
ROLES: tuple[Role, ...] = ("unlearned", "original", "baseline")


@dataclass
class Curves:
    """Points by model, attack and setting."""

    held: dict[tuple[str, str, str], tuple[Setting, list[CurvePoint]]] = field(default_factory=dict)

    def add(self, role: Role, attack: Attack | None, setting: Setting, points: list[CurvePoint]) -> None:
        """Keep a curve."""
        self.held[role, attack.name if attack else START, fingerprint(setting)] = (setting, points)

    def start(self, role: Role) -> CurvePoint | None:
        """A model before any attack."""
        found = self.held.get((role, START, fingerprint({})))
        return found[1][0] if found else None

    def averaged(self, role: Role, attack: str, settings: list[Setting]) -> dict[float | str, CurvePoint]:
        """Points of one model over seeds, by place; empty if it was not attacked."""
        curves = [
            self.held[role, attack, fingerprint(s)][1] for s in settings if (role, attack, fingerprint(s)) in self.held
        ]
        made: dict[float | str, CurvePoint] = {}
        for same in zip(*curves, strict=True):
            made[same[0].at] = CurvePoint(
                same[0].at, _mean([p.forget for p in same]), _mean([p.retain for p in same]), same[0].details
            )
        return made

    def reports(self, attack: str, settings: list[Setting]) -> list[CurveReport]:
        """All curves of an attack, as means over rows; in the order of models and settings, whenever they were made."""
        made = []
        for role in ROLES:
            for setting in settings:
                found = self.held.get((role, attack, fingerprint(setting)))
                if found is None:
                    continue
                points = [
                    PointReport(at=p.at, forget=_means(p.forget), retain=_means(p.retain), details=p.details)
                    for p in found[1]
                ]
                made.append(CurveReport(role=role, parameters=setting, points=points))
        return made


def _mean(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.mean([each[name] for each in rows], axis=0) for name in rows[0]}


def _means(rows: dict[str, np.ndarray]) -> dict[str, float | None]:
    return {name: None if np.isnan(values).all() else float(np.nanmean(values)) for name, values in rows.items()}


def _over_seeds(settings: list[Setting]) -> Iterator[list[Setting]]:
    """Settings that differ in their seed alone."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(fingerprint({k: v for k, v in setting.items() if k != "seed"}), []).append(setting)
    yield from groups.values()


def summarised(curves: Curves, attack: Attack, settings: list[Setting], config: AttackConfig) -> dict[str, RecoveryReport]:
    """Recovery by metric."""
    return {metric: _recovered(curves, attack, settings, config, metric) for metric in SCORED}


def _recovered(curves: Curves, attack: Attack, settings: list[Setting], config: AttackConfig, metric: str) -> RecoveryReport:
    draw = {"samples": config.bootstrap_samples, "seed": BOOTSTRAP_SEED}
    untouched = curves.start("original").forget[metric]
    least = np.full_like(untouched, METRICS.get(metric).range[0])
    floor_start = curves.start("baseline").forget[metric] if config.baseline else least
    points: list[RecoveryPoint] = []
    for same in _over_seeds(settings):
        shown = {name: value for name, value in same[0].items() if name != "seed"}
        floor = curves.averaged("baseline", attack.name, same)
        for at, point in curves.averaged("unlearned", attack.name, same).items():
            below = floor[at].forget[metric] if config.baseline else least
            made = recovery(point.forget[metric], untouched, below, floor_start, **draw)
            kept = _means(point.retain).get("probability")
            points.append(
                RecoveryPoint(
                    at=at,
                    parameters=shown,
                    value=made.value,
                    ci=made.ci,
                    gain=made.gain if config.baseline else None,
                    retain=kept,
                )  # fmt: skip
            )
    before = recovery(curves.start("unlearned").forget[metric], untouched, floor_start, floor_start, **draw).value
    tried = [p for p in points if p.value is not None and p.at != 0]
    best = max(tried, key=lambda p: p.value, default=None)
    if best is None:
        return RecoveryReport(start=before, max=None, ci=None, at=None, parameters={}, gain=None, points=points)
    curve = [p for p in points if p.parameters == best.parameters and p.value is not None]
    places, values = [p.at for p in curve], [p.value for p in curve]
    return RecoveryReport(
        start=before, max=best.value, ci=best.ci, at=best.at, parameters=best.parameters, gain=best.gain,
        area=area(places, values), half_at=first_at(places, values, 0.5), points=points,
    )  # fmt: skip


def verdict(attack: Attack, found: RecoveryReport, *, upper_bound: bool) -> str:
    """What an attack found, in a sentence or two."""
    if found.max is None:
        return f"{attack.name}: nothing can be said: no row has a value, or the models do not differ before the attack"
    where = _where(attack.along, found.at)
    rate = found.parameters.get("learning_rate")
    tail = f" at learning rate {rate:g}" if rate is not None else ""
    interval = f" ({found.ci[0]:.0%} to {found.ci[1]:.0%})" if found.ci else ""
    known = f"{found.start or 0.0:.0%}"
    if upper_bound:
        return (
            f"{attack.name}: at most {found.max:.0%}{interval} of the original knowledge is there {where}{tail}, "
            f"at most {known} before the attack; upper bounds, as no baseline was attacked in the same way"
        )
    kept = "" if known == "0%" else f"; {known} was never forgotten"
    gained = "" if found.gain is None else f"; the baseline gains {max(0.0, found.gain):.0%}"
    return f"{attack.name}: {found.max:.0%}{interval} of the original knowledge is there {where}{tail}{kept}{gained}"


def _where(along: str, at: float | str) -> str:
    """A place of an attack in words."""
    if along == "bits":
        return f"in {at}" if isinstance(at, str) else f"in {at} bits"  # a format by name, or a number of bits
    said = {
        "step": "within {} steps", "wording": "with the wording '{}'", "percent": "at {} percent", "shots": "with {} shots",
        "draws": "in the best of {} draws", "depth": "at {} percent of the depth",
    }  # fmt: skip
    return said.get(along, f"at {along} {{}}").format(at)
