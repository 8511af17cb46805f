"""A run on a run: a later request to forget. The rows of the earlier runs are measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn_cli.config import DataOptions, ForgetConfig, restored, without_consents
from unlearn_cli.data.example import Split
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import file_sha256
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.report import FILE, RunReport, Score, Scores, read_report
from unlearn_cli.report_parts import EarlierRun

INHERITED = (
    "retain", "retain_held_out", "retain_eval", "holdout", "columns", "chat_template", "enable_thinking", "reasoning",
    "dtype", "load_in_4bit", "load_in_8bit", "attn_implementation",
)  # fmt: skip
RETURNED = 0.05  # rows whose probability rises by less do not count as known again
DATA = ("retain", "retain_held_out", "retain_eval", "holdout")  # not inherited if a benchmark gives the rows


def runs_before(run: Path | None) -> list[tuple[Path, RunReport]]:
    """`run` and the runs before it, oldest first.

    Raises:
        UnlearnError: one of them is gone, or is not a run of `unlearn forget`.
    """
    runs: list[tuple[Path, RunReport]] = []
    while run is not None:
        report = read_report(run)
        if report.command != "forget":
            raise UnlearnError(f"{run} is not a run of `unlearn forget`", "a run that forgot rows is expected")
        if any(run.resolve() == other.resolve() for other, _ in runs):
            raise UnlearnError(f"{run} continues from itself", "a run folder was moved over another")
        runs.insert(0, (run, report))
        previous = report.config.get("run")
        run = Path(previous) if previous else None
    return runs


def continued(config: ForgetConfig, sources: Mapping[str, str]) -> tuple[ForgetConfig, dict[str, str]]:
    """The settings of a run on a run: its model is the earlier run, and settings that are not given are the earlier run's.

    Raises:
        UnlearnError: the earlier run cannot be read or is the output folder, or another model is given as well.
    """
    if config.run is None:
        return config, dict(sources)
    _, report = runs_before(config.run)[-1]
    if config.model and Path(config.model).resolve() != config.run.resolve():
        raise UnlearnError("RUN and --model are given, and a run starts from one model", "leave one of them out")
    if config.output_dir is not None and config.output_dir.resolve() == config.run.resolve():
        raise UnlearnError("--output-dir is the run that this one starts from", "-o takes another folder")
    values: dict[str, Any] = {}
    for name, value in without_consents(ForgetConfig, report.config).items():
        inherits = name in INHERITED and not (name in DATA and config.benchmark)
        if inherits and sources.get(name, "default") == "default":
            values[name] = value
    values["model"] = str(config.run)
    if config.output_dir is None:
        values["output_dir"] = config.run.parent / f"{config.run.name}-{len(runs_before(config.run)) + 1}"
    filled = restored(ForgetConfig, {**config.model_dump(), **values}, granted=config)
    return filled, {**sources, **dict.fromkeys(values, str(config.run))}


def earlier_splits(config: ForgetConfig, texts: Mapping[str, Split]) -> dict[str, Split]:
    """The forget rows of earlier runs (forget_1 is the oldest), and their retain rows if these are not measured already.

    Raises:
        UnlearnError: rows of an earlier run are gone or changed.
    """
    added: dict[str, Split] = {}
    for number, (run, report) in enumerate(runs_before(config.run), start=1):
        options = restored(DataOptions, {"retain_held_out": 0.0} | report.config, holdout=None)
        rows = load_splits(options, run)
        for name in ("forget", "retain"):
            if name not in rows:
                continue
            if name in report.data and rows[name].origin.sha256 != report.data[name].sha256:
                raise UnlearnError(
                    f"the {name} rows at {report.data[name].spec} are not those of {run}",
                    "rows of earlier runs are measured again: restore the file, or give the run as --model",
                )
            same = [rows[name].origin.sha256 == other.origin.sha256 for other in (*texts.values(), *added.values())]
            if name == "forget" or not any(same):
                added[f"{name}_{number}"] = replace(rows[name], name=f"{name}_{number}")
    return added


def chain(config: ForgetConfig, scores: Scores) -> list[EarlierRun]:
    """The earlier runs, oldest first, each with the probability of its forget rows before and after this run."""
    links = []
    for number, (run, report) in enumerate(runs_before(config.run), start=1):
        split = f"forget_{number}"
        compared = scores.get(split, {}).get("probability")
        before, after = (compared.before, compared.after) if compared else (None, None)
        then = report.scores.get("forget", {}).get("probability")  # at the end of the earlier run
        links.append(
            EarlierRun(
                run=str(run),
                report_sha256=file_sha256(run / FILE),
                forget_sha256=report.data["forget"].sha256,
                split=split,
                kept=f"retain_{number}" if f"retain_{number}" in scores else None,
                probability=then.after.value if then and then.after else None,
                before=before.value if before else None,
                after=after.value if after else None,
                returned=_returned(before, after),
            )
        )
    return links


def _returned(before: Score | None, after: Score | None) -> bool:
    """Whether rows are known again: their probability rose by more than `RETURNED`, and the two intervals do not overlap."""
    if before is None or after is None or before.value is None or after.value is None:
        return False
    apart = after.ci is None or before.ci is None or after.ci[0] > before.ci[1]  # one row has no interval, and is named
    return after.value - before.value > RETURNED and apart


def in_words(link: EarlierRun) -> str:
    """A sentence on the forget rows of an earlier run."""
    if link.before is None or link.after is None:
        return f"{link.split}, which {link.run} forgot, could not be measured"
    change = f"{link.before:.3f} -> {link.after:.3f}"
    if link.returned:
        return f"{link.split}, which {link.run} forgot, is known again: probability {change}; forget both in one run"
    return f"{link.split}, which {link.run} forgot, stays forgotten: probability {change}"
