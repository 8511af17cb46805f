"""Curves of attacks on disk: each row's scores at each point, under a fingerprint of everything that they depend on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.atomic import write_atomically
from unlearn_cli.attack_report import SCORED
from unlearn_cli.attacks._target import Point, Role
from unlearn_cli.contract import METRICS, Attack
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.report import fingerprint, finite

VERSION = 2  # of what the files hold


@dataclass(frozen=True)
class CurvePoint:
    """Scores [R] by metric at one place."""

    at: float | str
    forget: dict[str, np.ndarray]
    retain: dict[str, np.ndarray]
    details: dict[str, float] = field(default_factory=dict)


def scored(points: Iterable[Point]) -> list[CurvePoint]:
    """Measurements to the scores that are kept of them."""
    return [CurvePoint(p.at, _rows(p.forget), _rows(p.retain) if p.retain else {}, dict(p.details)) for p in points]


def _rows(measured: Measured) -> dict[str, np.ndarray]:
    return {name: np.asarray(METRICS.get(name).function(measured), dtype=np.float64) for name in SCORED}


def cache_folder() -> Path:
    """Where curves of models that are no run are kept: they are the same for every run on them."""
    root = (
        os.environ.get("UNLEARN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlearn-cli"
    )
    return Path(root) / "attacks"


def read_curve(folder: Path, key: str) -> list[CurvePoint] | None:
    """The points of a finished curve, or None."""
    path = folder / f"{key}.json"
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None
    return [CurvePoint(p["at"], _arrays(p["forget"]), _arrays(p["retain"]), p["details"]) for p in held["points"]]


def write_curve(folder: Path, key: str, points: list[CurvePoint]) -> None:
    """Keep a finished curve: numbers by row, no text."""
    folder.mkdir(parents=True, exist_ok=True)
    held = [{"at": p.at, "forget": _lists(p.forget), "retain": _lists(p.retain), "details": p.details} for p in points]
    write_atomically(folder / f"{key}.json", json.dumps(finite({"points": held})) + "\n")


def place(models: AttackedModels, role: Role, attack: Attack | None, setting: Mapping[str, Any]) -> tuple[Path, str]:
    """Folder and key of a curve, of a model before any attack without one; those of models that are no run are kept for
    all runs."""
    name = attack.name if attack else "start"
    key = fingerprint(VERSION, name, setting, models.key(role))
    folder = models.config.run / "attacks" / name / "curves" if role == "unlearned" else cache_folder()
    return folder, key


def _lists(rows: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in rows.items()}


def _arrays(rows: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    return {name: np.array([np.nan if v is None else v for v in values], dtype=np.float64) for name, values in rows.items()}
