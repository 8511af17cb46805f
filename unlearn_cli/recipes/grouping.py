"""Rows of a comparison: a run each, or several runs of one configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from unlearn_cli.recipes.runs import Entry, settings


@dataclass(frozen=True)
class Row:
    """Runs that are shown as one."""

    name: str
    entries: tuple[Entry, ...]

    def value(self, metric: str) -> float | None:
        """The score, averaged over the runs that have one."""
        found = self._found(metric)
        return fmean(found) if found else None

    def spread(self, metric: str) -> float | None:
        """Standard deviation over the runs; None for a single one."""
        found = self._found(metric)
        return stdev(found) if len(found) > 1 else None

    def _found(self, metric: str) -> list[float]:
        scores = [entry.score(metric) for entry in self.entries]
        return [score.value for score in scores if score is not None and score.value is not None]

    def rows(self, metric: str, ids: Sequence[str]) -> np.ndarray:
        """[R] values of single rows, averaged over the runs."""
        return np.mean([entry.values(metric, ids) for entry in self.entries], axis=0)

    def setting(self, key: str) -> Any:
        """A setting that all of its runs share."""
        return settings(self.entries[0]).get(key)


def grouped(entries: Sequence[Entry], by: Sequence[str], keys: Sequence[str]) -> list[Row]:
    """Runs that differ in the settings `by` alone as one row each; without `by` every run is its own.

    Args:
        entries: the runs.
        by: settings that do not count.
        keys: settings that differ between some runs.
    """
    if not by:
        return [Row(entry.name, (entry,)) for entry in entries]
    counted = [key for key in keys if key not in by]
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        own = settings(entry)
        groups.setdefault(json.dumps([own.get(key) for key in counted], sort_keys=True), []).append(entry)
    return [Row(_name(members), tuple(members)) for members in groups.values()]


def _name(members: list[Entry]) -> str:
    if len(members) == 1:
        return members[0].name
    first = members[0].name
    return f"{first} + {len(members) - 1}"
