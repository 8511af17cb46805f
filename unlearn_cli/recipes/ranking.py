"""Which run is best by each metric, which are within noise of it, and which no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.config import CompareConfig
from unlearn_cli.evaluation.paired import Difference, difference, front
from unlearn_cli.recipes.grouping import Row
from unlearn_cli.recipes.runs import Entry
from unlearn_cli.recipes.scores import BOOTSTRAP_SEED


@dataclass(frozen=True)
class Column:
    """One metric of a comparison."""

    name: str  # SPLIT.METRIC
    target: str | None
    baseline: float | None
    best: str | None  # name of the row

    def described(self) -> dict[str, Any]:
        """Plain values."""
        return {"target": self.target, "baseline": self.baseline, "best": self.best}


@dataclass
class Found:
    """What the comparison found."""

    differences: dict[tuple[str, str], Difference | None] = field(default_factory=dict)  # (metric, row) to the best
    front: set[str] = field(default_factory=set)

    def noise(self, metric: str, row: str) -> bool:
        """No difference to the best was found."""
        found = self.differences.get((metric, row))
        return found is not None and found.noise

    def described(self, metric: str, row: str) -> dict[str, Any] | None:
        """A difference to the best in plain values."""
        found = self.differences.get((metric, row))
        if found is None:
            return None
        verdict = "no difference" if found.noise else "larger" if found.value > 0 else "smaller"
        return {"to_best": found.value, "ci": found.ci, "rows": found.rows, "verdict": verdict}


def columns(rows: Sequence[Row], names: Sequence[str], config: CompareConfig, baseline: Entry | None) -> list[Column]:
    """The metrics with their direction, the never-trained model's value, and the best row."""
    made = []
    for name in names:
        scores = [entry.score(name) for row in rows for entry in row.entries]
        target = next((score.target for score in scores if score is not None), None)
        held = baseline.score(name) if baseline else None
        if held is None:
            held = next((s for row in rows for e in row.entries if (s := e.score(name, "baseline")) is not None), None)
        known = None if held is None else held.value
        made.append(Column(name, target, known, _best(rows, name, target, known)))
    return made


def _best(rows: Sequence[Row], name: str, target: str | None, baseline: float | None) -> str | None:
    # By name among equals, so that the order of the runs does not matter.
    held = sorted(((row.value(name), row.name) for row in rows if row.value(name) is not None), key=lambda pair: pair[1])
    if not held or len(rows) < 2:
        return None
    if target == "max":
        return max(held, key=lambda pair: pair[0])[1]
    if target == "min":
        return min(held, key=lambda pair: pair[0])[1]
    if target == "baseline" and baseline is not None:
        return min(held, key=lambda pair: abs(pair[0] - baseline))[1]
    return None


def judged(rows: Sequence[Row], made: Sequence[Column], config: CompareConfig) -> Found:
    """Differences to the best over common rows, and the front."""
    found = Found()
    by_name = {row.name: row for row in rows}
    for column in made:
        if column.best is None:
            continue
        best = by_name[column.best]
        split = column.name.partition(".")[0]
        ids = sorted({i for entry in best.entries for s, i in entry.rows if s == split})
        theirs = best.rows(column.name, ids) if ids else None
        for row in rows:
            if row is best or theirs is None:
                continue
            found.differences[column.name, row.name] = difference(
                row.rows(column.name, ids), theirs, samples=config.bootstrap_samples, seed=BOOTSTRAP_SEED
            )
    ways = tuple(_way(rows, name) for name in config.front)
    points = [tuple(row.value(name) for name in config.front) for row in rows]
    found.front = {row.name for row, on in zip(rows, front(points, ways), strict=True) if on}
    return found


def _way(rows: Sequence[Row], name: str) -> str:
    scores = (entry.score(name) for row in rows for entry in row.entries)
    target = next((score.target for score in scores if score is not None), None)
    return "max" if target == "max" else "min"
