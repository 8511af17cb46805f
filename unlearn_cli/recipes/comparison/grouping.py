"""Rows of a comparison: a run each, or several runs of one configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from unlearn_cli.recipes.comparison.runs import Entry, identities, settings
from unlearn_cli.registry import unknown
from unlearn_cli.report import FAILED, Score


@dataclass(frozen=True)
class Row:
    """Runs that are shown as one."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def failed(self) -> bool:
        """Whether a run of it wrecked the model, diverged or changed nothing: its scores are no success, however good."""
        return any(entry.report.status in FAILED for entry in self.entries)

    def scores(self, metric: str) -> list[Score]:
        """The scores of the runs that have one."""
        return [score for entry in self.entries if (score := entry.score(metric)) is not None]

    def value(self, metric: str) -> float | None:
        """The score, averaged over the runs that have one."""
        found = [score.value for score in self.scores(metric)]
        return fmean(found) if found else None

    def whole(self, metric: str) -> float | None:
        """The score, if all of the runs have one: what can be ranked beside others."""
        return None if self.missing(metric) else self.value(metric)

    def missing(self, metric: str) -> int:
        """How many of the runs have no score."""
        return len(self.entries) - len(self.scores(metric))

    def spread(self, metric: str) -> float | None:
        """Standard deviation over the runs; None for a single one."""
        found = [score.value for score in self.scores(metric)]
        return stdev(found) if len(found) > 1 else None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The interval of a single run's score; several runs have none, for theirs leave out the seeds, nor has one row."""
        found = self.scores(metric)
        return found[0].ci if len(found) == len(self.entries) == 1 and found[0].n != 1 else None

    def rows(self, metric: str, ids: Sequence[str]) -> np.ndarray:
        """[S, R] values of single rows in the runs that have the score."""
        return np.array([entry.values(metric, ids) for entry in self.entries if entry.score(metric) is not None])

    def setting(self, key: str) -> Any:
        """A setting that all of its runs share."""
        return settings(self.entries[0]).get(key)


def grouping_keys(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """The settings that --group-by names, in the spelling of the reports.

    Raises:
        UnlearnError: no run has a setting of that name.
    """
    known = {key for entry in entries for key in settings(entry)}
    made = []
    for name in names:
        spelled = next((s for s in (name, name.replace("-", "_")) if s in known), None)
        if spelled is None:
            raise unknown("setting of --group-by", name, known)
        made.append(spelled)
    return made


def grouped(entries: Sequence[Entry], by: Sequence[str], keys: Sequence[str], marks: Mapping[str, str]) -> list[Row]:
    """Runs that differ in the settings `by` alone as one row each; without `by` every run is its own.

    Args:
        entries: the runs.
        by: settings that do not count.
        keys: settings that differ between some runs.
        marks: how each run was measured, if not all were measured alike; those are never averaged.
    """
    if not by:
        return [Row(entry.name, (entry,)) for entry in entries]
    counted = [key for key in keys if key not in by]
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        own = identities(entry)
        alike = [marks.get(entry.name), *(own.get(key) for key in counted)]
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append(entry)
    return [Row(_name(members), tuple(members)) for members in groups.values()]


def _name(members: list[Entry]) -> str:
    first = members[0].name
    return first if len(members) == 1 else f"{first} + {len(members) - 1}"
