"""What a new report would replace, in words. No torch: scores are made from measurements without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import FILE, DataReport, Scores, read_report


def check_target(folder: Path) -> None:
    """Refuse to write an evaluation over the report of a run.

    Raises:
        UnlearnError: `folder` is a run of `unlearn forget`.
    """
    if (folder / FILE).is_file() and read_report(folder).command == "forget":
        raise UnlearnError(
            f"{folder} is a run of `unlearn forget`, whose report would be lost", "choose another --output-dir"
        )


def replaced_evaluation(folder: Path, data: Mapping[str, DataReport], scores: Scores) -> str | None:
    """In words, where the report of an evaluation on more is about to be replaced by one of `data` and `scores`."""
    if not (folder / FILE).is_file():
        return None
    then = read_report(folder)
    fewer = {
        name: old.measured_rows
        for name, old in then.data.items()
        if name not in data or data[name].measured_rows < old.measured_rows
    }
    lost = in_words(
        fewer,
        baseline=_has_baseline(then.scores) and not _has_baseline(scores),
        metrics=any(set(then.scores[split]) - set(scores[split]) for split in then.scores.keys() & scores.keys()),
    )
    return f"replaces an evaluation {lost}" if lost else None


def _has_baseline(scores: Scores) -> bool:
    return any(both.baseline is not None for metrics in scores.values() for both in metrics.values())


def in_words(rows: Mapping[str, int], *, baseline: bool, metrics: bool = False) -> str:
    """What is lost: more rows of these splits, a baseline, metrics; empty if nothing is."""
    counted = " and ".join(f"{count} {name}" for name, count in rows.items())
    parts = [f"of {counted} rows"] if rows else []
    named = [name for name, lost in (("a baseline", baseline), ("more metrics", metrics)) if lost]
    return " ".join([*parts, *([f"with {' and '.join(named)}"] if named else [])])
