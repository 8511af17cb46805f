"""Notes on an older report that a new one replaces. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import FILE, Scores, read_report
from unlearn_cli.report_parts import DataReport


def check_target(folder: Path) -> None:
    """Check that an evaluation would not overwrite the report of a run.

    Raises:
        UnlearnError: `folder` is a run of `unlearn forget`.
    """
    if (folder / FILE).is_file() and read_report(folder).command == "forget":
        raise UnlearnError(
            f"{folder} is a run of `unlearn forget`, whose report would be lost", "choose another --output-dir"
        )


def superseded_evaluation(folder: Path, data: Mapping[str, DataReport], scores: Scores) -> str | None:
    """A note if a report of `data` and `scores` will replace one with more results; else None."""
    if not (folder / FILE).is_file():
        return None
    old = read_report(folder)
    fewer = {
        name: split.measured_rows
        for name, split in old.data.items()
        if name not in data or data[name].measured_rows < split.measured_rows
    }
    lost = loss_in_words(
        fewer,
        baseline=_has_baseline(old.scores) and not _has_baseline(scores),
        metrics=any(set(old.scores[split]) - set(scores[split]) for split in old.scores.keys() & scores.keys()),
    )
    return f"replaces an evaluation {lost}" if lost else None


def _has_baseline(scores: Scores) -> bool:
    return any(both.baseline is not None for metrics in scores.values() for both in metrics.values())


def loss_in_words(rows: Mapping[str, int], *, baseline: bool, metrics: bool = False) -> str:
    """The lost results in words: more rows of these splits, a baseline, metrics. Empty if nothing is lost."""
    counted = " and ".join(f"{count} {name}" for name, count in rows.items())
    parts = [f"of {counted} rows"] if rows else []
    named = [name for name, lost in (("a baseline", baseline), ("more metrics", metrics)) if lost]
    return " ".join([*parts, *([f"with {' and '.join(named)}"] if named else [])])
