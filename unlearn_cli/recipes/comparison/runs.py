"""Runs as `compare` reads them: reports, values of rows, settings. Loads neither a model nor torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import fingerprint
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.recipes.scoring.gates import measured_at, value_at
from unlearn_cli.recipes.scoring.verdict import judge_run, verdict_of
from unlearn_cli.report import EVALUATION, FILE, MANIFEST, ROWS, RunReport, Score, Verdict, read_report, unfinished

MEASURED_BY = ("max_new_tokens", "stride", "metric_parameters")  # settings that scores depend on, beside limits on rows
SAMPLED_BY = ("samples", "sample_temperature", "sample_top_p")  # settings that scores of sampled answers depend on
RELEARNING = "relearn.recovery"
FORGET = "forget"


@dataclass(frozen=True)
class Source:
    """One report, with the values of its rows beside it."""

    report: RunReport
    folder: Path

    @cached_property
    def rows(self) -> dict[tuple[str, str], dict[str, float]]:
        """(split, row id) -> metric -> value."""
        path = self.folder / ROWS
        lines = read_complete_jsonl(path) if path.is_file() else []
        if any(not isinstance(line.get(key), str) for line in lines for key in ("split", "id")):
            raise UnlearnError(f"{path}: a line names no split or no row", "evaluate the run again, or remove the file")
        return {(line["split"], line["id"]): {k: v for k, v in line.items() if type(v) in (int, float)} for line in lines}

    def protocol(self, key: str) -> dict[str, Any]:
        """The protocol of a split: everything except the model that its scores depend on.

        Args:
            key: the split, or `SPLIT samples` for its sampled answers alone.
        """
        split, _, samples = key.partition(" ")
        config, data, model = self.report.config, self.report.data.get(split), self.report.model
        if samples:
            return {name: config.get(name) for name in SAMPLED_BY}
        if data is None:
            # A report on saved measurements lacks data and settings: only the ids of the rows are known.
            return {"rows (of one only their names are known)": sorted(row for name, row in self.rows if name == split)}
        # Limits count by their effect: a limit of 1000 on 400 rows is the same as none.
        return {
            "rows": data.sha256,
            "number of measured rows": data.measured_rows,
            "max_length": (data.sequences, data.truncated_rows, data.truncated_tokens),
            "generate_limit": min(config.get("generate_limit") or data.measured_rows, data.measured_rows),
            "chat templates": model.chat_template_sha256 if model else None,
            "precision": (model.dtype, model.quantization) if model else None,
        } | {name: config.get(name) or None for name in MEASURED_BY}

    @cached_property
    def protocol_hashes(self) -> dict[str, str]:
        """Split -> hash of its protocol; sampled answers have their own."""
        splits = [*self.report.data, *sorted({split for split, _ in self.rows} - set(self.report.data))]
        sampled = [f"{split} samples" for split in self.report.data if self.report.config.get("samples")]
        return {key: fingerprint(self.protocol(key)) for key in [*splits, *sampled]}

    def score(self, split: str, name: str, moment: str = "after") -> Score | None:
        """A score, if it has a value."""
        score: Score | None = getattr(self.report.scores.get(split, {}).get(name), moment, None)
        return score if score is not None and score.value is not None else None


@dataclass(frozen=True)
class Entry:
    """A run: its report, and that of a later `unlearn evaluate RUN` if there is one."""

    name: str
    path: Path
    first: Source  # the run, or an evaluation without a run
    later: Source | None = None  # `unlearn evaluate RUN`, with more metrics

    @property
    def report(self) -> RunReport:
        """The report of the run."""
        return self.first.report

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.first.folder

    @property
    def reports(self) -> list[RunReport]:
        """The report of the run, and that of the later evaluation if there is one."""
        return [source.report for source in (self.first, self.later) if source]

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of the later evaluation, which may know a baseline, else that of the run."""
        later = self.later.report if self.later else None
        judged = later and (later.verdict or judge_run(later, self.folder, self.report))
        return judged or verdict_of(self.report, self.folder)

    @cached_property
    def remeasured(self) -> set[str]:
        """Splits whose protocol in the later evaluation is not that of the run. Their scores are those of the run."""
        if self.later is None:
            return set()
        hashes = self.first.protocol_hashes
        return {key.split()[0] for key, value in self.later.protocol_hashes.items() if hashes.get(key, value) != value}

    def sources(self, split: str) -> list[Source]:
        """The reports with scores of a split, first choice first. All have the same protocol.

        For scores over several splits (privacy, utility), every split must have the same protocol in both reports.
        """
        if self.later is None:
            return [self.first]
        is_split = split in self.first.protocol_hashes or split in self.later.protocol_hashes
        remeasured = split in self.remeasured if is_split else bool(self.remeasured)
        return [self.first] if remeasured else [self.later, self.first]

    @cached_property
    def protocol_hashes(self) -> dict[str, str]:
        """Split -> hash of the protocol of the shown scores."""
        later = self.later.protocol_hashes if self.later else {}
        return {key: value for key, value in later.items() if key.split()[0] not in self.remeasured} | (
            self.first.protocol_hashes
        )

    def score(self, metric: str, moment: str = "after") -> Score | None:
        """A score by SPLIT.METRIC, if it has a value."""
        if metric == RELEARNING:
            return self._recovery() if moment == "after" else None
        split, _, name = metric.partition(".")
        scores = (source.score(split, name, moment) for source in self.sources(split))
        return next((score for score in scores if score is not None), None)

    def value(self, metric: str, moment: str = "after") -> float | None:
        """The value of a score by SPLIT.METRIC."""
        return value_at(self.score(metric, measured_at(moment)), moment)

    def _recovery(self) -> Score | None:
        line = self.report.attacks.get("relearn")
        if line is None or line.recovery is None:
            return None
        recovery = self.attack.shown if self.attack else None
        interval = recovery.ci if recovery is not None and recovery.max == line.recovery else None
        return Score(value=line.recovery, ci=interval, n=0, target="min", range=(0.0, None))

    @cached_property
    def attack(self) -> AttackReport | None:
        """The relearning attack on the run."""
        return self.attacked("relearn")

    def attacked(self, name: str) -> AttackReport | None:
        """The report of an attack on the run; the name may have hyphens or underscores."""
        path = self.folder / "attacks" / name.replace("_", "-") / FILE
        return read_attack(path) if path.is_file() else None

    @property
    def has_rows(self) -> bool:
        """Whether there are values of rows."""
        return any(source.rows for source in (self.first, self.later) if source)

    def ids(self, split: str) -> set[str]:
        """Ids of the rows of a split that have values."""
        return {row for source in self.sources(split) for name, row in source.rows if name == split}

    def values(self, metric: str, ids: Sequence[str]) -> np.ndarray:
        """[R] the metric on rows of its split, from the report that has the score; NaN for a row without a value."""
        split, _, name = metric.partition(".")
        rows = next((source.rows for source in self.sources(split) if source.score(split, name)), {})
        return np.array([rows.get((split, i), {}).get(name, np.nan) for i in ids])


def read_entries(paths: Sequence[Path]) -> list[Entry]:
    """Read runs. The name of a run is the shortest end of its path that is unique.

    Raises:
        UnlearnError: no run is given, a folder is not a run, or a run is given twice.
    """
    paths = [path for path in paths if path.name != MANIFEST]  # `unlearn compare sweep/*`
    if not paths:
        raise UnlearnError("nothing to compare", "unlearn compare runs/npo runs/simnpo")
    folders = [path.resolve().parent if path.is_file() else path.resolve() for path in paths]
    twice = next((path for path in folders if folders.count(path) > 1), None)
    if twice is not None:
        raise UnlearnError(f"{twice} is given twice", "name each run once")
    entries = []
    for path, folder, name in zip(paths, folders, _names(folders), strict=True):
        later = folder / EVALUATION
        evaluation = Source(read_report(later), later) if (later / FILE).is_file() else None
        entries.append(Entry(name, path, Source(read_report(path), folder), evaluation))
    return entries


def read_baseline(path: Path, runs: Sequence[Entry]) -> Entry:
    """Read the evaluation of a model that never saw the forget rows.

    Raises:
        UnlearnError: the path is not an evaluation. If it is a model, the hint is the command that evaluates it.
    """
    if not path.is_file() and not (path / FILE).is_file() and not unfinished(path):
        what = "this is a model" if (path / "config.json").is_file() else f"there is no {FILE}"
        files = {s: data.spec for s, data in runs[0].report.data.items() if s in ("forget", "retain", "holdout")}
        files = files or {"forget": "FILE", "retain": "FILE"}
        line = ["unlearn", "evaluate", "--model", str(path), *(word for s in files for word in (f"--{s}", files[s]))]
        raise UnlearnError(
            f"--baseline {path}: this option takes the folder of an evaluation, but {what}",
            f"measure it like the runs, then --baseline baseline: {shlex.join([*line, '-o', 'baseline'])}",
        )
    return read_entries([path])[0]


def check_another(baseline: Entry, runs: Sequence[Entry]) -> None:
    """Check that the baseline is none of the runs: another folder, and other probabilities of the forget rows.

    Raises:
        UnlearnError: it is; the message names the run.
    """
    metric, ids = f"{FORGET}.probability", sorted(baseline.ids(FORGET))
    values = baseline.values(metric, ids)
    for run in runs:
        same_rows = len(ids) > 1 and run.ids(FORGET) == set(ids) and np.array_equal(run.values(metric, ids), values)
        if run.folder.resolve() == baseline.folder.resolve() or same_rows:
            raise UnlearnError(
                f"--baseline {baseline.path} is {run.name} itself: every forget row has the same probability",
                "give the evaluation of a model that was trained without the forget rows",
            )


def _names(folders: Sequence[Path]) -> list[str]:
    for depth in range(1, 8):
        names = ["/".join(path.parts[-depth:]) for path in folders]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in folders]
