"""Curves of attacks: each row's scores at each point, in memory and on disk.

A file's name is a fingerprint of everything that the curve depends on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import platformdirs
from pydantic import BaseModel, Field, field_validator

from unlearn_cli.atomic import write_atomically
from unlearn_cli.attack_report import SCORED, CurveReport, PointReport
from unlearn_cli.attacks._target import Place, Point, Role, kind
from unlearn_cli.contract import METRICS, Attack, Recovered
from unlearn_cli.evaluation.baseline import METRIC
from unlearn_cli.evaluation.score import bootstrap
from unlearn_cli.hashing import fingerprint
from unlearn_cli.jsonfile import finite, read_kept
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.recipes.attacking.settings import Setting
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED
from unlearn_cli.report import Score

VERSION = 2  # of the files' content
START = "start"  # name of the curve of a model before any attack
ROLES: tuple[Role, ...] = ("unlearned", "original", "baseline", "control")


def order(role: Role) -> tuple[int, int, str]:
    """Sorts roles as `ROLES` has them, baselines by their number."""
    return ROLES.index(kind(role)), len(role), role


RowScores = dict[str, np.ndarray]  # [R] by metric


@dataclass(frozen=True)
class CurvePoint:
    """Scores of the rows at one place of a curve."""

    at: Place
    forget: RowScores
    retain: RowScores
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CurveSpec:
    """The model, the attack and the setting of a curve."""

    role: Role
    attack: Attack | None = None  # None: the model before any attack, a curve of one point
    setting: Setting = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the attack."""
        return self.attack.name if self.attack else START

    @property
    def key(self) -> tuple[str, str, str]:
        """Role, attack and fingerprint of the setting."""
        return self.role, self.name, fingerprint(self.setting)


Values = dict[Recovered, list[float | None]]  # of the rows, by metric


class StoredPoint(BaseModel):
    """A point of a curve as it is on disk."""

    at: int | float | str
    forget: Values
    retain: Values
    details: dict[str, float]

    @field_validator("forget")
    @classmethod
    def _complete(cls, forget: Values) -> Values:
        if set(forget) != set(SCORED) or len({len(values) for values in forget.values()}) != 1:
            raise ValueError("not every metric has a value for every row")
        return forget


class StoredCurve(BaseModel):
    """A curve as it is on disk. A run folder may come from a stranger."""

    points: list[StoredPoint] = Field(min_length=1)


class Curves:
    """The points of each curve."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str, str], list[CurvePoint]] = {}

    def add(self, spec: CurveSpec, points: list[CurvePoint]) -> None:
        """Add a curve."""
        self._points[spec.key] = points

    def points(self, spec: CurveSpec) -> list[CurvePoint]:
        """The points of a curve."""
        return self._points[spec.key]

    def __contains__(self, spec: CurveSpec) -> bool:
        return spec.key in self._points

    def start(self, role: Role) -> CurvePoint | None:
        """A model before any attack; of several baselines the mean."""
        points = [curve[0] for curve in self._of(CurveSpec(role)) if curve]
        return _mean_point(points) if points else None

    def _of(self, spec: CurveSpec) -> list[list[CurvePoint]]:
        """The curve of a role; of "baseline" those of all baselines."""
        wanted = spec.key[1:]
        return [
            points
            for (role, *rest), points in self._points.items()
            if spec.role in (role, kind(role)) and tuple(rest) == wanted
        ]

    def start_probability(self, role: Role, bootstrap_samples: int) -> Score | None:
        """The probability that a model gives the judged forget answers before any attack; None if it is unknown."""
        start = self.start(role)
        values = np.array([]) if start is None else start.forget[METRIC]
        values = values[~np.isnan(values)]
        if not len(values):
            return None
        return Score(
            value=float(values.mean()), ci=bootstrap(values, bootstrap_samples, BOOTSTRAP_SEED, (0.0, 1.0)), n=len(values)
        )

    def averaged(self, role: Role, attack: Attack, settings: list[Setting]) -> dict[Place, CurvePoint]:
        """Points of one model by place, averaged over settings that differ in their seed; empty if it was not attacked.

        Of several baselines, "baseline" is their mean.
        """
        curves = [curve for setting in settings for curve in self._of(CurveSpec(role, attack, setting))]
        return {points[0].at: _mean_point(points) for points in zip(*curves, strict=True)}

    def reports(self, attack: Attack, settings: list[Setting]) -> list[CurveReport]:
        """All curves of an attack as means over rows, in the order of models and settings."""
        return [
            CurveReport(role=kind(role), parameters=setting, points=[_point_report(point) for point in self._points[key]])
            for role in sorted({role for role, *_ in self._points}, key=order)
            for setting in settings
            if (key := CurveSpec(role, attack, setting).key) in self._points
        ]


def means(scores: RowScores) -> dict[str, float | None]:
    """Metric -> mean over the rows that have a value; None if no row has one."""
    return {name: None if np.isnan(values).all() else float(np.nanmean(values)) for name, values in scores.items()}


def _mean_point(points: Sequence[CurvePoint]) -> CurvePoint:
    forget, retain = (_mean([getattr(point, name) for point in points]) for name in ("forget", "retain"))
    return CurvePoint(points[0].at, forget, retain, points[0].details)


def _mean(of_seeds: list[RowScores]) -> RowScores:
    return {name: np.mean([scores[name] for scores in of_seeds], axis=0) for name in of_seeds[0]}


def _point_report(point: CurvePoint) -> PointReport:
    return PointReport(at=point.at, forget=means(point.forget), retain=means(point.retain), details=point.details)


def scored(points: Iterable[Point]) -> list[CurvePoint]:
    """The points of a curve with their scores, from its measurements."""
    return [
        CurvePoint(p.at, _row_scores(p.forget), _row_scores(p.retain) if p.retain else {}, dict(p.details)) for p in points
    ]


def _row_scores(measured: Measured) -> RowScores:
    return {name: np.asarray(METRICS.get(name).function(measured), dtype=np.float64) for name in SCORED}


def cache_folder() -> Path:
    """The folder of the curves of original models and baselines, which all runs share."""
    return Path(os.environ.get("UNLEARN_CACHE") or platformdirs.user_cache_path("unlearn-cli")) / "attacks"


def curve_path(models: AttackedModels, spec: CurveSpec) -> Path:
    """The file of a curve: in the run folder for the unlearned model, else in the user's cache."""
    folder = models.config.run / "attacks" / spec.name / "curves" if spec.role == "unlearned" else cache_folder()
    return folder / f"{fingerprint(VERSION, spec.name, spec.setting, models.key(spec.role))}.json"


def read_curve(path: Path) -> list[CurvePoint] | None:
    """The points of a finished curve; None if there is no such file or it is no curve: then it is computed again."""
    stored = read_kept(path, StoredCurve)
    if stored is None:
        return None
    points = [CurvePoint(p.at, _arrays(p.forget), _arrays(p.retain), p.details) for p in stored.points]
    return points if all(len(p.forget[name]) == len(points[0].forget[name]) for p in points for name in SCORED) else None


def write_curve(path: Path, points: list[CurvePoint]) -> None:
    """Write a finished curve: the scores of the rows, without text."""
    plain = [{"at": p.at, "forget": _lists(p.forget), "retain": _lists(p.retain), "details": p.details} for p in points]
    write_atomically(path, json.dumps(finite({"points": plain})) + "\n")


def _lists(scores: RowScores) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in scores.items()}


def _arrays(lists: Mapping[Recovered, list[float | None]]) -> RowScores:
    return {name: np.array([np.nan if v is None else v for v in values], dtype=np.float64) for name, values in lists.items()}
