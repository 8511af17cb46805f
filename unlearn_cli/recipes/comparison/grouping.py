"""Rows of a comparison: each is one run, or several runs of one configuration."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from unlearn_cli.recipes.comparison.runs import Entry
from unlearn_cli.recipes.comparison.settings import settings, settings_by_content
from unlearn_cli.registry import unknown
from unlearn_cli.report import UNUSABLE, Score


@dataclass(frozen=True)
class Row:
    """One run, or runs that are shown together."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def failed(self) -> bool:
        """Whether one of its runs wrecked the model, diverged or changed nothing; its good scores then mean nothing."""
        return any(entry.report.status in UNUSABLE for entry in self.entries)

    @property
    def verdict(self) -> str:
        """The word of its verdict; if its runs differ, each word with its number of runs; empty without a verdict."""
        words = Counter(entry.verdict.word for entry in self.entries if entry.verdict)
        return next(iter(words), "") if len(words) < 2 else ", ".join(f"{count} {word}" for word, count in words.items())

    def scores(self, metric: str) -> list[Score]:
        """The scores of the runs that have one."""
        return [score for entry in self.entries if (score := entry.score(metric)) is not None]

    def values(self, metric: str) -> list[float]:
        """The values of these scores."""
        return [value for entry in self.entries if (value := entry.value(metric)) is not None]

    def value(self, metric: str) -> float | None:
        """The mean over the runs that have a score."""
        values = self.values(metric)
        return fmean(values) if values else None

    def complete_value(self, metric: str) -> float | None:
        """The mean, if all of the runs have a score; only such values are ranked."""
        return None if self.missing(metric) else self.value(metric)

    def missing(self, metric: str) -> int:
        """How many of the runs have no score."""
        return len(self.entries) - len(self.values(metric))

    def spread(self, metric: str) -> float | None:
        """Standard deviation over the runs; None for a single one."""
        values = self.values(metric)
        return stdev(values) if len(values) > 1 else None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The interval of a single run's score on several rows.

        None for several runs, because intervals over rows leave out the variance between seeds; and for one row.
        """
        scores = self.scores(metric)
        return scores[0].ci if len(scores) == len(self.entries) == 1 and scores[0].n != 1 else None

    def row_values(self, metric: str, ids: Sequence[str]) -> np.ndarray:
        """[S, R] values of single rows in the S runs that have the score."""
        return np.array([entry.values(metric, ids) for entry in self.entries if entry.score(metric) is not None])

    def setting(self, key: str) -> Any:
        """A setting that all of its runs share."""
        return settings(self.entries[0]).get(key)


def grouping_keys(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """The settings that --group-by names, in the spelling of the reports.

    Raises:
        UnlearnError: no run has a setting of that name.
    """
    known_keys = {key for entry in entries for key in settings(entry)}
    keys = []
    for name in names:
        key = next((spelling for spelling in (name, name.replace("-", "_")) if spelling in known_keys), None)
        if key is None:
            raise unknown("setting of --group-by", name, known_keys)
        keys.append(key)
    return keys


def group_runs(entries: Sequence[Entry], by: Sequence[str], keys: Sequence[str], hashes: Mapping[str, str]) -> list[Row]:
    """Put runs that differ only in the settings `by` into one row. Without `by`, every run is a row.

    Args:
        entries: the runs.
        by: settings to ignore.
        keys: settings that differ between some runs.
        hashes: run -> hash of its protocol, if protocols differ; runs with different protocols are never averaged.
    """
    if not by:
        return [Row(entry.name, (entry,)) for entry in entries]
    shared = [key for key in keys if key not in by]
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        values = settings_by_content(entry)
        group = [hashes.get(entry.name), *(values.get(key) for key in shared)]
        groups.setdefault(json.dumps(group, sort_keys=True), []).append(entry)
    return [Row(_name(members), tuple(members)) for members in groups.values()]


def _name(members: list[Entry]) -> str:
    first = members[0].name
    return first if len(members) == 1 else f"{first} + {len(members) - 1}"
