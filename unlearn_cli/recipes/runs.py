"""Runs as `compare` reads them: report, values of rows, settings. No model, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.config import ForgetConfig, runtime_fields
from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import FILE, RunReport, Score, fingerprint, read_report

EVALUATION = "evaluation"
ROWS = "rows.jsonl"
MEASURED_BY = ("eval_limit", "generate_limit", "max_new_tokens", "max_length", "limit")
# Of the settings, those that say what was done; where it lies and how it was measured is no difference between methods.
IGNORED = runtime_fields(ForgetConfig) | {
    "device",
    "bootstrap_samples",
    "generate_limit",
    "eval_limit",
    "eval_every",
    "deterministic",
}
RELEARNING = "relearn.recovery"


@dataclass
class Entry:
    """One run."""

    name: str
    path: Path
    report: RunReport  # of the run, or of an evaluation that stands alone
    evaluation: RunReport | None = None  # of `unlearn evaluate RUN`, with more metrics
    members: list[str] = field(default_factory=list)  # names of the runs behind a row of several

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.path if self.path.is_dir() else self.path.parent

    def score(self, metric: str, moment: str = "after") -> Score | None:
        """A score by SPLIT.METRIC; the later evaluation's where it has one."""
        if metric == RELEARNING:
            line = self.report.attacks.get("relearn")
            if line is None or line.recovery is None or moment != "after":
                return None
            return Score(value=line.recovery, n=0, target="min", range=(0.0, None))
        split, _, name = metric.partition(".")
        for report in (self.evaluation, self.report):
            both = report.scores.get(split, {}).get(name) if report else None
            found = getattr(both, moment, None)
            if found is not None and found.value is not None:
                return found
        return None

    @cached_property
    def rows(self) -> dict[tuple[str, str], dict[str, float]]:
        """(split, row id) -> metric -> value."""
        made: dict[tuple[str, str], dict[str, float]] = {}
        for path in (self.folder / ROWS, self.folder / EVALUATION / ROWS):
            if path.is_file():
                for line in path.read_text(encoding="utf-8").splitlines():
                    held = json.loads(line)
                    made.setdefault((held.pop("split"), held.pop("id")), {}).update(held)
        return made

    def values(self, metric: str, ids: Sequence[str]) -> np.ndarray:
        """[R] the metric on rows of its split, NaN where there is none."""
        split, _, name = metric.partition(".")
        return np.array([self.rows.get((split, i), {}).get(name, np.nan) for i in ids])

    def measured_as(self) -> dict[str, str]:
        """For each split a fingerprint of the rows and of how they were measured."""
        report = self.report
        how = {name: report.config.get(name) for name in MEASURED_BY}
        how["template"] = report.model.chat_template_sha256 if report.model else None
        return {split: fingerprint(data.sha256, data.measured_rows, how)[:8] for split, data in report.data.items()}


def read_entries(paths: Sequence[Path]) -> list[Entry]:
    """Runs by the shortest names that tell them apart.

    Raises:
        UnlearnError: none were given, one is no run, or one is given twice.
    """
    if not paths:
        raise UnlearnError("nothing to compare", "unlearn compare runs/npo runs/simnpo")
    folders = [path.resolve() if path.is_dir() else path.resolve().parent for path in paths]
    twice = next((path for path in folders if folders.count(path) > 1), None)
    if twice is not None:
        raise UnlearnError(f"{twice} is given twice")
    made = []
    for path, name in zip(paths, _names(folders), strict=True):
        report = read_report(path)
        later = (path if path.is_dir() else path.parent) / EVALUATION
        made.append(Entry(name, path, report, read_report(later) if (later / FILE).is_file() else None))
    return made


def _names(folders: Sequence[Path]) -> list[str]:
    for depth in range(1, 8):
        names = ["/".join(path.parts[-depth:]) for path in folders]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in folders]


def differing(entries: Sequence[Entry]) -> list[str]:
    """Settings that are not the same in all runs, `parameters` told one by one."""
    flat = [settings(entry) for entry in entries]
    names = dict.fromkeys(name for each in flat for name in each)
    return [name for name in names if len({json.dumps(each.get(name), sort_keys=True) for each in flat}) > 1]


def settings(entry: Entry) -> dict[str, Any]:
    """What a run was asked to do, by name."""
    made: dict[str, Any] = {}
    for name, value in entry.report.config.items():
        if name in IGNORED:
            continue
        if isinstance(value, Mapping):
            made |= {f"{name.removesuffix('parameters') or ''}{key}".lstrip("_"): held for key, held in value.items()}
        else:
            made[name] = value
    return made


def check_same(entries: Sequence[Entry], *, allow: bool) -> dict[str, str]:
    """Refuse to mix what was measured differently; else a mark for each run that shows it.

    Raises:
        UnlearnError: runs that were measured on other rows or otherwise, and that is not allowed.
    """
    known = {entry.name: entry.measured_as() for entry in entries}
    first = entries[0]
    for entry in entries[1:]:
        for split, mark in known[entry.name].items():
            if split in known[first.name] and mark != known[first.name][split] and not allow:
                why = _why(first, entry, split)
                raise UnlearnError(
                    f"{first.name} and {entry.name} were not measured alike: the {split} {why} differ",
                    "evaluate both with the same data and limits, or --allow-different, which marks them",
                )
    marks = {name: fingerprint(sorted(splits.items()))[:6] for name, splits in known.items()}
    return marks if len(set(marks.values())) > 1 else {}


def _why(one: Entry, other: Entry, split: str) -> str:
    a, b = one.report, other.report
    if a.data[split].sha256 != b.data[split].sha256:
        return "rows"
    if a.data[split].measured_rows != b.data[split].measured_rows:
        return "rows that were measured"
    named = [name for name in MEASURED_BY if a.config.get(name) != b.config.get(name)]
    return f"settings ({', '.join(named)})" if named else "chat templates"
