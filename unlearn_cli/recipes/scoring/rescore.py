"""`unlearn evaluate --measured`: score stored measurements. Loads neither a model nor torch."""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.config import EvaluateConfig
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation import logs
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring.evaluation import Evaluation
from unlearn_cli.recipes.scoring.scores import comparable_moments
from unlearn_cli.recipes.scoring.superseded import check_target
from unlearn_cli.report import RunReport

Splits = dict[str, Measured]


def run(
    config: EvaluateConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[RunReport, Path]:
    """Score and judge. Returns the report and its path; failed gates are in it.

    Raises:
        UnlearnError: there are no measurements, they do not allow a metric, or the baseline has other rows.
    """
    evaluation = Evaluation(config, sources, command_line, reporter)
    assert config.measured is not None and config.output_dir is not None
    check_target(config.output_dir)
    moments, allowed = _read(config.measured)
    moments = comparable_moments(moments, reporter.note)
    baselines: dict[str, Splits] = {}
    for place in config.baseline:
        baseline, allowed_of_baseline = _read(Path(place))
        baselines[place] = baseline["after"]
        allowed = [name for name in allowed if name in allowed_of_baseline]
        _check_rows(moments["after"], baselines[place])
    protocols = [measured.protocol for splits in (moments["after"], *baselines.values()) for measured in splits.values()]
    if baselines and not all(protocols):
        reporter.note("not every file names its protocol: template, lengths and precision may differ")
    if unavailable := [name for name in config.metrics if METRICS.canonical(name) not in allowed]:
        raise UnlearnError(f"{config.measured} does not allow {', '.join(unavailable)}", "measure with a model: --model")
    wanted = [METRICS.canonical(name) for name in config.metrics] or METRICS.names()
    metrics = tuple(name for name in wanted if name in allowed)
    scores = evaluation.score(moments, metrics, baselines)
    return evaluation.finish(moments, metrics, scores, config.output_dir, environment={})


def _read(path: Path) -> tuple[dict[str, Splits], list[str]]:
    """Measurements by moment and split, and the metrics that they allow."""
    if not path.is_dir():
        return {"after": logs.read_log(path)}, [METRICS.canonical(name) for name in logs.METRICS]
    moments: dict[str, Splits] = {}
    for file in sorted((path / "measured").glob("*.safetensors")):
        moment, _, split = file.stem.partition("-")
        measured = load_measured(file.parent, file.stem)
        if measured is not None and moment in ("before", "after", "baseline"):  # not further baselines
            moments.setdefault(moment, {})[split] = measured
    if "after" not in moments:
        raise UnlearnError(f"{path} holds no measurements", "a run folder of `unlearn forget` or `unlearn evaluate` does")
    return moments, METRICS.names()


def _check_rows(after: Splits, baseline: Splits) -> None:
    for name in after.keys() & baseline.keys():
        if after[name].references != baseline[name].references:
            raise UnlearnError(f"--baseline was measured on different {name} rows", "both need the same data and limits")
