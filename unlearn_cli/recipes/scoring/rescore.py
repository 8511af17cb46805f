"""`unlearn evaluate --measured`: scores of what was measured before. No model, no torch."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from unlearn_cli.config import EvaluateConfig
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation import logs
from unlearn_cli.evaluation.baseline import check_scores
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.forgetting.precheck import measurable
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.recipes.scoring.outcome import over_forgotten, say
from unlearn_cli.recipes.scoring.scores import compared, measured_alike, passes, write_rows
from unlearn_cli.recipes.scoring.superseded import check_target
from unlearn_cli.rendering.tables import answers_table, scores_table
from unlearn_cli.report import ROWS, RunReport, write_report

Splits = dict[str, Measured]


def run(
    config: EvaluateConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[RunReport, Path]:
    """Score and judge. Returns the report and its path; failed gates are in it.

    Raises:
        UnlearnError: nothing was measured there, or another number of rows for the baseline.
    """
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    measurable(config)
    check_target(config.output_dir)
    moments, allowed = _measured(config.measured)
    moments = measured_alike(moments, reporter.note)
    if config.baseline:
        theirs, also = _measured(Path(config.baseline))
        moments["baseline"] = theirs["after"]
        allowed = [name for name in allowed if name in also]
        _same_rows(moments["after"], moments["baseline"])
        if not all(one.protocol for one in (*moments["after"].values(), *moments["baseline"].values())):
            reporter.note("not every file says how it was measured: template, lengths and precision may differ")
    wanted = [METRICS.canonical(name) for name in config.metrics] or METRICS.names()
    names = tuple(name for name in wanted if name in allowed)
    if left := [name for name in config.metrics if METRICS.canonical(name) not in allowed]:
        raise UnlearnError(f"{config.measured} does not allow {', '.join(left)}", "measure with a model: --model")
    scores = compared(moments, config, names)
    check_scores(scores)
    for told in over_forgotten(scores):
        reporter.note(told)
    report = RunReport(
        command="evaluate",
        status="completed",
        command_line=command_line,
        started=started,
        config=config.model_dump(mode="json"),
        config_sources=sources,
        environment={},
        scores=scores,
        passes=passes(moments),
        gates=gates.judge_all(config.fail_if, scores),
        seconds={"total": round(time.perf_counter() - began, 3)},
        notes=reporter.notes,
    )
    path = write_report(report, config.output_dir)
    write_rows(moments["after"], config, names, path.with_name(ROWS))
    reporter.show(scores_table(report, path.parent, everything=config.full_table or bool(config.metrics)))
    if config.show:
        reporter.show(answers_table(moments, config.show, report))
    say(scores, reporter)
    gates.show(report.gates, reporter)
    if config.junit:
        gates.write_junit(report.gates, report.scores, config.junit)
    return report, path


def _measured(path: Path) -> tuple[dict[str, Splits], list[str]]:
    """Measurements by moment and split, and the metrics that they allow."""
    if not path.is_dir():
        return {"after": logs.read_log(path)}, [METRICS.canonical(name) for name in logs.METRICS]
    moments: dict[str, Splits] = {}
    for file in sorted((path / "measured").glob("*.safetensors")):
        moment, _, split = file.stem.partition("-")
        found = load_measured(file.parent, file.stem)
        if found is not None:
            moments.setdefault(moment, {})[split] = found
    if "after" not in moments:
        raise UnlearnError(f"{path} holds no measurements", "a run folder of `unlearn forget` or `unlearn evaluate` does")
    return moments, METRICS.names()


def _same_rows(ours: Splits, theirs: Splits) -> None:
    for name in ours.keys() & theirs.keys():
        if ours[name].references != theirs[name].references:
            raise UnlearnError(f"--baseline was measured on different {name} rows", "both need the same data and limits")
