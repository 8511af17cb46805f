"""The end of `unlearn evaluate`, with or without a model: scores, gates, report and output."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unlearn_cli.config import EvaluateConfig
from unlearn_cli.console import Reporter
from unlearn_cli.evaluation.baseline import check_scores
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.recipes.scoring.baselines import add_baselines, spread
from unlearn_cli.recipes.scoring.halves import judged_again
from unlearn_cli.recipes.scoring.outcome import notes
from unlearn_cli.recipes.scoring.scores import compared, passes, write_rows
from unlearn_cli.recipes.scoring.verdict import judge_run
from unlearn_cli.rendering.tables import answers_table, harness_table, scores_table
from unlearn_cli.rendering.verdicts import verdict_block
from unlearn_cli.report import ROWS, RunReport, Scores, write_report

Moments = dict[str, dict[str, Measured]]  # before, after, baseline -> split -> measurements


@dataclass(frozen=True)
class Evaluation:
    """One call of `unlearn evaluate`."""

    config: EvaluateConfig
    sources: dict[str, str]  # setting -> origin of its value
    command_line: list[str]
    reporter: Reporter
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    began: float = field(default_factory=time.perf_counter)

    def score(
        self,
        moments: Moments,
        metrics: tuple[str, ...],
        baselines: Mapping[str, dict[str, Measured]] = MappingProxyType({}),
    ) -> Scores:
        """Score the measurements, and note where rows are over-forgotten.

        Args:
            moments: the measurements before and after. The first baseline is added to them.
            metrics: names of metrics.
            baselines: the measurements of each baseline.

        Raises:
            UnlearnError: a baseline knows the forget rows.
        """
        names, others = list(baselines), {}
        if names:
            moments["baseline"] = baselines[names[0]]
            others = {name: baselines[name] for name in names[1:]}
        scores = compared(moments, self.config, metrics)
        check_scores(scores)
        if others:
            add_baselines(scores, moments, others, self.config, metrics)
            for note in spread(scores):
                self.reporter.note(note)
        for note in notes(scores):
            self.reporter.note(note)
        return scores

    def finish(
        self,
        moments: Moments,
        metrics: tuple[str, ...],
        scores: Scores,
        folder: Path,
        run: RunReport | None = None,
        **described: Any,
    ) -> tuple[RunReport, Path]:
        """Judge the gates, write the report and the values of rows, and print them. Returns the report and its path.

        Args:
            moments: the measurements.
            metrics: names of the metrics that were scored.
            scores: the result of `score`.
            folder: the folder of the report.
            run: the report of the run that is evaluated, for the verdict.
            described: further fields of the report.
        """
        config, reporter = self.config, self.reporter
        report = RunReport(
            command="evaluate",
            status="completed",
            command_line=self.command_line,
            started=self.started,
            config=config.model_dump(mode="json"),
            config_sources=self.sources,
            scores=scores,
            passes=passes(moments),
            gates=gates.judge_all(config.fail_if, scores),
            seconds={"total": round(time.perf_counter() - self.began, 3)},
            notes=reporter.notes,
            target=judged_again(run, moments, scores) if run else None,
            **described,
        )
        report.verdict = judge_run(report, config.run or config.lineage or folder, run)
        write_rows(moments["after"], config, metrics, folder / ROWS)
        path = write_report(report, folder)  # last, because a folder with a report counts as a finished evaluation
        reporter.show(scores_table(report, path.parent, everything=config.full_table or bool(config.metrics)))
        if report.harness:
            reporter.show(harness_table(report))
        if config.show:
            reporter.show(answers_table(moments, config.show, report))
        if report.verdict:
            reporter.show(verdict_block(report.verdict), folded=False)
        gates.show(report.gates, reporter)
        if config.junit:
            gates.write_junit(report.gates, report.scores, config.junit)
        return report, path
