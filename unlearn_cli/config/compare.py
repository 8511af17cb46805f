"""Settings of `unlearn compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from unlearn_cli.config.expressions import ReportConditions
from unlearn_cli.config.groups import ShownOptions
from unlearn_cli.config.option import Names, option
from unlearn_cli.values import MANY


class CompareConfig(ShownOptions):
    """Settings of `unlearn compare`."""

    runs: tuple[Path, ...] = option((), "run folders, or their report.json", "Model", metavar="RUN...")
    baseline: Path | None = option(
        None,
        "a folder of `unlearn evaluate` on a model that was trained without the forget rows, measured like the runs",
        "Model",
        metavar="RUN",
    )
    metrics: Names = option(
        (), "columns, as SPLIT.METRIC; default: the usual metrics that a run has", "Measuring", metavar="NAMES"
    )
    sort: str | None = option(
        None,
        "sort by this SPLIT.METRIC, best first; for metrics with ≈ the nearest to the baseline",
        "Output",
        metavar="NAME",
    )
    group_by: Names = option(
        (), "runs that differ only in these settings become one row with a spread: seed", "Output", metavar="NAMES"
    )
    front: Names = option(
        ("forget.probability", "retain.probability"),
        "the two metrics of the Pareto front: forgetting and utility",
        "Output",
        metavar="X,Y",
    )
    allow_different: bool = option(
        False, "also compare runs that were measured on other rows, or with other templates or limits, and mark them", "Data"
    )
    bootstrap_samples: int = option(2000, "resamples of the rows behind each difference", "Measuring", ge=1, le=MANY)
    include_samples: int = option(
        0,
        "in --html: N forget questions with the answer of each run; forget rows are sensitive",
        "Output",
        ge=0,
        le=MANY,
        metavar="N",
        consent="set",
    )
    csv: Path | None = option(None, "the table as CSV; - for stdout", "Output", metavar="FILE", runtime=True)
    markdown: Path | None = option(
        None, "the table for a pull-request comment; - for stdout", "Output", metavar="FILE", runtime=True
    )
    html: Path | None = option(
        None, "write the comparison as one HTML page without scripts or links", "Output", metavar="FILE", runtime=True
    )
    plot: Path | None = option(
        None,
        "forgetting against utility as PNG or SVG (pip install unlearn-cli[plot])",
        "Output",
        metavar="FILE",
        runtime=True,
    )
    fail_if: ReportConditions = option(
        (), "exit code 3 if this holds for any run: 'retain.probability < 0.9'; repeatable", "Output", metavar="EXPR"
    )

    @field_validator("metrics", "sort", "front")
    @classmethod
    def _as_in_reports(cls, value: Any) -> Any:
        """`forget.rouge-l` becomes `forget.rouge_l`: no metric and no split has a minus in its name."""
        if isinstance(value, str):
            return value.replace("-", "_")
        return value and tuple(name.replace("-", "_") for name in value)
