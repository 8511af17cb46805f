"""Runs as `compare` reads them: reports, values of rows, settings. No model, no torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.config import ForgetConfig, MeasuringOptions, runtime_fields
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.report import EVALUATION, FILE, LEDGER, ROWS, RunReport, Score, fingerprint, read_report, unfinished

MEASURED_BY = ("max_new_tokens", "stride", "metric_parameters")  # and what limits made of the rows
SAMPLED_BY = ("samples", "sample_temperature", "sample_top_p")
# Of the settings, those that say what was done; where it lies and how it was measured is no difference between methods.
IGNORED = runtime_fields(ForgetConfig) | (set(MeasuringOptions.model_fields) - {"max_new_tokens"}) | {
    "device", "eval_every", "deterministic",
}  # fmt: skip
RELEARNING = "relearn.recovery"


@dataclass(frozen=True)
class Source:
    """One report, with the values of its rows beside it."""

    report: RunReport
    folder: Path

    @cached_property
    def rows(self) -> dict[tuple[str, str], dict[str, float]]:
        """(split, row id) -> metric -> value."""
        path = self.folder / ROWS
        held = read_complete_jsonl(path) if path.is_file() else []
        return {(line.pop("split"), line.pop("id")): line for line in held}

    def how(self, key: str) -> dict[str, Any]:
        """All that scores of a split depend on besides the model; `SPLIT samples` is about its sampled answers alone."""
        split, _, samples = key.partition(" ")
        config, data, model = self.report.config, self.report.data.get(split), self.report.model
        if samples:
            return {name: config.get(name) for name in SAMPLED_BY}
        if data is None:
            # Scores of measurements alone say nothing of data and settings: the rows' names are all that is known.
            return {"rows (of one only their names are known)": sorted(row for own, row in self.rows if own == split)}
        # Limits count by what they do, not by what was given: 1000 of 400 rows are all rows.
        return {
            "rows": data.sha256,
            "number of measured rows": data.measured_rows,
            "max_length": (data.sequences, data.truncated_rows, data.truncated_tokens),
            "generate_limit": min(config.get("generate_limit") or data.measured_rows, data.measured_rows),
            "chat templates": model.chat_template_sha256 if model else None,
            "precision": (model.dtype, model.quantization) if model else None,
        } | {name: config.get(name) or None for name in MEASURED_BY}

    @cached_property
    def marks(self) -> dict[str, str]:
        """By split a fingerprint of how it was measured; sampled answers have their own."""
        splits = [*self.report.data, *sorted({split for split, _ in self.rows} - set(self.report.data))]
        drawn = [f"{split} samples" for split in splits if self.report.config.get("samples") and split in self.report.data]
        return {key: fingerprint(self.how(key)) for key in [*splits, *drawn]}

    def score(self, split: str, name: str, moment: str = "after") -> Score | None:
        """A score that has a value."""
        found = getattr(self.report.scores.get(split, {}).get(name), moment, None)
        return found if found is not None and found.value is not None else None


@dataclass(frozen=True)
class Entry:
    """One run: its own report, and that of `unlearn evaluate RUN` with more metrics, if there is one."""

    name: str
    path: Path
    own: Source  # of the run, or of an evaluation that stands alone
    later: Source | None = None

    @property
    def report(self) -> RunReport:
        """The run's own report."""
        return self.own.report

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.own.folder

    @property
    def reports(self) -> list[RunReport]:
        """All of them."""
        return [source.report for source in (self.own, self.later) if source]

    @cached_property
    def unlike(self) -> set[str]:
        """Splits that the later evaluation measured otherwise than the run itself: there the run's own scores stand."""
        if self.later is None:
            return set()
        known = self.own.marks
        return {key.split()[0] for key, mark in self.later.marks.items() if known.get(key, mark) != mark}

    def sources(self, split: str) -> list[Source]:
        """Where scores of a split are read, first choice first; all of them were measured alike.

        Scores of several splits at once (privacy, utility) count as measured on every split of their report.
        """
        if self.later is None or (split in self.unlike if split in self.own.marks | self.later.marks else self.unlike):
            return [self.own]
        return [self.later, self.own]

    @cached_property
    def marks(self) -> dict[str, str]:
        """How each split was measured whose scores are shown."""
        later = self.later.marks if self.later else {}
        return {key: mark for key, mark in later.items() if key.split()[0] not in self.unlike} | self.own.marks

    def score(self, metric: str, moment: str = "after") -> Score | None:
        """A score by SPLIT.METRIC, if it has a value."""
        if metric == RELEARNING:
            return self._recovery() if moment == "after" else None
        split, _, name = metric.partition(".")
        found = (source.score(split, name, moment) for source in self.sources(split))
        return next((score for score in found if score is not None), None)

    def _recovery(self) -> Score | None:
        line = self.report.attacks.get("relearn")
        if line is None or line.recovery is None:
            return None
        found = self.attack.recovery["probability"] if self.attack else None
        interval = found.ci if found is not None and found.max == line.recovery else None
        return Score(value=line.recovery, ci=interval, n=0, target="min", range=(0.0, None))

    @cached_property
    def attack(self) -> AttackReport | None:
        """The relearning attack on the run."""
        return self.attacked("relearn")

    def attacked(self, name: str) -> AttackReport | None:
        """The report of an attack on the run, by the attack's name in either spelling."""
        path = self.folder / "attacks" / name.replace("_", "-") / FILE
        return read_attack(path) if path.is_file() else None

    @property
    def has_rows(self) -> bool:
        """Whether there are values of single rows."""
        return any(source.rows for source in (self.own, self.later) if source)

    def ids(self, split: str) -> set[str]:
        """Rows of a split with values."""
        return {row for source in self.sources(split) for own, row in source.rows if own == split}

    def values(self, metric: str, ids: Sequence[str]) -> np.ndarray:
        """[R] the metric on rows of its split, from the report that has the score; NaN where there is none."""
        split, _, name = metric.partition(".")
        held = next((source.rows for source in self.sources(split) if source.score(split, name)), {})
        return np.array([held.get((split, i), {}).get(name, np.nan) for i in ids])


def read_entries(paths: Sequence[Path]) -> list[Entry]:
    """Runs by the shortest names that tell them apart.

    Raises:
        UnlearnError: none were given, one is no run, or one is given twice.
    """
    paths = [path for path in paths if path.name != LEDGER]  # `unlearn compare sweep/*`
    if not paths:
        raise UnlearnError("nothing to compare", "unlearn compare runs/npo runs/simnpo")
    folders = [path.resolve() if path.is_dir() else path.resolve().parent for path in paths]
    twice = next((path for path in folders if folders.count(path) > 1), None)
    if twice is not None:
        raise UnlearnError(f"{twice} is given twice")
    made = []
    for path, folder, name in zip(paths, folders, _names(folders), strict=True):
        own, below = Source(read_report(path), folder), folder / EVALUATION
        made.append(Entry(name, path, own, Source(read_report(below), below) if (below / FILE).is_file() else None))
    return made


def read_baseline(path: Path, runs: Sequence[Entry]) -> Entry:
    """The evaluation of a model that never saw the forget rows.

    Raises:
        UnlearnError: it is none; for the model itself, with the line that evaluates it as the first run was.
    """
    if not path.is_file() and not (path / FILE).is_file() and not unfinished(path):
        what = "this is a model" if (path / "config.json").is_file() else f"there is no {FILE}"
        given = {s: data.spec for s, data in runs[0].report.data.items() if s in ("forget", "retain", "holdout")}
        given = given or {"forget": "FILE", "retain": "FILE"}
        line = ["unlearn", "evaluate", "--model", str(path), *(word for s in given for word in (f"--{s}", given[s]))]
        raise UnlearnError(
            f"--baseline {path}: the folder of an evaluation is wanted, and {what}",
            f"measure it like the runs, then --baseline baseline: {shlex.join([*line, '-o', 'baseline'])}",
        )
    return read_entries([path])[0]


def _names(folders: Sequence[Path]) -> list[str]:
    for depth in range(1, 8):
        names = ["/".join(path.parts[-depth:]) for path in folders]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in folders]


def differing(entries: Sequence[Entry]) -> list[str]:
    """Settings that are not the same in all runs that have them; parameters count one by one.

    Another path to the same is the same. What only `unlearn forget` can be given is no difference between a run and an
    evaluation, so such settings are compared among the runs of the commands that take them.
    """
    by_path, by_content = [settings(entry) for entry in entries], [identities(entry) for entry in entries]
    commands: dict[str, set[str]] = {}
    for entry, own in zip(entries, by_path, strict=True):
        for name in own:
            commands.setdefault(name, set()).add(entry.report.command)

    def differs(name: str, values: Sequence[Mapping[str, Any]]) -> bool:
        comparable = [v for entry, v in zip(entries, values, strict=True) if entry.report.command in commands[name]]
        return len({_text(each.get(name)) for each in comparable}) > 1

    return [name for name in commands if differs(name, by_path) and differs(name, by_content)]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def identities(entry: Entry) -> dict[str, Any]:
    """The settings, with hashes of what a path leads to instead of the path: a model's weights, the rows of a split."""
    made, model = settings(entry), entry.report.model
    if model is not None and "model" in made:
        made["model"] = [model.weights_sha256 or model.model, model.adapter]
    return made | {split: data.sha256 for split, data in entry.report.data.items() if split in made}


def settings(entry: Entry) -> dict[str, Any]:
    """What a run was asked to do, by name; a parameter that is called like a setting is `parameters.NAME`."""
    made: dict[str, Any] = {}
    for name, value in entry.report.config.items():
        if name in IGNORED:
            continue
        if not isinstance(value, Mapping):
            made[name] = value
            continue
        for key, held in value.items():
            short = f"{name.removesuffix('parameters')}{key}"
            made[f"{name}.{key}" if short in ForgetConfig.model_fields else short] = held
    return made
