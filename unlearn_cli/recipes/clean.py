"""`unlearn clean`: remove the rows' text and the checkpoints from a run folder; the evidence stays. Imports no torch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from unlearn_cli.config import DERIVED, CleanConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import remove_texts
from unlearn_cli.recipes.auditing import chain
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.recipes.storage.run_folder import RunFolder, remove
from unlearn_cli.report import CHECKPOINTS, EVALUATION, FILE, read_report, write_report


def run(config: CleanConfig, reporter: Reporter) -> list[str]:
    """Remove texts and checkpoints from `config.run`. Returns their paths inside the folder.

    Raises:
        UnlearnError: the folder holds no finished run or evaluation.
    """
    folder = RunFolder(config.run)
    if not folder.report.is_file():
        raise UnlearnError(
            f"{config.run} holds no {FILE}",
            "a finished run or evaluation is expected; an unfinished one can be deleted",
        )
    with nullcontext() if config.dry_run else locked(folder.path):  # another process may be writing measurements
        removed = folder.texts() + ([CHECKPOINTS] if folder.checkpoints.is_dir() else [])
        derived = sorted(path.parent for path in (config.run / DERIVED).glob(f"*/{FILE}"))
        removed += [f"{DERIVED}/{each.name}/{name}" for each in derived for name in RunFolder(each).texts()]
        if not config.dry_run:
            _remove(folder, removed)
            reports = [_update_report(place) for place in (config.run, config.run / EVALUATION, *derived)]
            chain.extend(config.run, "clean", ["clean", str(config.run)], [*reports, *chain.measurements(config.run)])
    verb = "would be removed" if config.dry_run else "removed"
    reporter.say("\n".join(f"{verb}: {name}" for name in removed) or "nothing to remove: the folder holds no text")
    return removed


def _remove(folder: RunFolder, names: list[str]) -> None:
    for path in (folder.path / name for name in names):
        if path.parent.name == folder.measured.name:
            remove_texts(path.parent, path.stem)
        else:
            remove(path)


def _update_report(folder: Path) -> Path:
    """Write into a folder's report, if it has one, that no file holds text any more; returns its path."""
    if (folder / FILE).is_file():
        report = read_report(folder)
        if report.texts:
            write_report(report.model_copy(update={"texts": []}), folder)
    return folder / FILE
