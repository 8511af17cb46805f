"""Curves on disk: what is no curve is computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unlearn_cli.attack_report import SCORED
from unlearn_cli.recipes.attacking.curves import CurvePoint, read_curve, write_curve


def stored(path: Path, **changes: Any) -> Path:
    """A curve of two points over two rows; `changes` are made to its second point."""
    points = [CurvePoint(at, {name: np.array([0.1, np.nan]) for name in SCORED}, {}, {"loss": 1.0}) for at in (0, 5)]
    write_curve(path, points)
    content = json.loads(path.read_text())
    content["points"][1] |= changes
    path.write_text(json.dumps(content))
    return path


def test_a_curve_is_read_as_it_was_written(tmp_path: Path) -> None:
    first, second = read_curve(stored(tmp_path / "curves" / "a.json")) or ()
    assert (first.at, second.at, second.details) == (0, 5, {"loss": 1.0})
    assert all(np.array_equal(second.forget[name], [0.1, np.nan], equal_nan=True) for name in SCORED)


@pytest.mark.parametrize("changes", [
    {"forget": dict.fromkeys(SCORED, [0.1])}, {"forget": {SCORED[0]: [0.1, 0.2]}}, {"at": None}, {"forget": "many"},
])  # fmt: skip
def test_what_is_no_curve_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Points over other numbers of rows, a metric too few, no place, a text for the values."""
    assert read_curve(stored(tmp_path / "a.json", **changes)) is None
    assert read_curve(tmp_path / "b.json") is None
