"""From measurements to scores: every metric's value, its interval, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unlearn_cli.contract import METRICS, Metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._ranking import auc, true_positives
from unlearn_cli.report import Score


def score(
    metrics: Sequence[str],
    measured: Mapping[str, Measured],
    *,
    samples: int,
    seed: int,
    baseline: Mapping[str, Measured] | None = None,
) -> dict[str, dict[str, Score]]:
    """Scores by split, or by group for metrics that compare splits, and metric.

    A metric whose splits are not all there is left out.

    Args:
        metrics: names of metrics.
        measured: measurements by split.
        samples: bootstrap resamples behind each confidence interval.
        seed: of the resampling.
        baseline: the retain-only model's measurements by split.
    """
    declared = [METRICS.get(name) for name in metrics]
    made = {
        split: {m.name: score_split(m, values, samples=samples, seed=seed) for m in declared if m.needs == ("split",)}
        for split, values in measured.items()
    }
    for m in declared:
        splits = [name for name in m.needs if name not in ("split", "baseline")]
        if splits and all(name in measured for name in splits):
            made.setdefault(m.group, {})[m.name] = _across(m, measured, baseline, samples=samples, seed=seed)
    return made


def _across(
    metric: Metric,
    measured: Mapping[str, Measured],
    baseline: Mapping[str, Measured] | None,
    *,
    samples: int,
    seed: int,
) -> Score:
    """A metric that compares splits."""
    common = {"target": metric.targets.get(metric.group), "range": metric.range}
    rows = sum(measured[name].rows for name in metric.needs if name != "baseline")
    if "baseline" in metric.needs and baseline is None:
        return Score(value=None, n=rows, reason="needs --baseline, a model that never saw the forget rows", **common)
    values = metric.function(*(baseline if name == "baseline" else measured[name] for name in metric.needs))
    if metric.aggregate == "mean":
        value, details = values if isinstance(values, tuple) else (values, {})
        return _finite(float(value), None, rows, details=details, **common)
    first, second = (np.asarray(v, dtype=np.float64) for v in values)
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if not len(first) or not len(second):
        return Score(value=None, n=0, reason="no row has a value on one side", **common)
    draw = np.random.default_rng(seed)
    drawn = [auc(draw.choice(first, len(first)), draw.choice(second, len(second))) for _ in range(samples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    details = {f"tpr_at_{round(100 * rate)}_percent_fpr": true_positives(first, second, rate) for rate in (0.01, 0.05)}
    return Score(
        value=auc(first, second), ci=(float(low), float(high)), n=len(first) + len(second), details=details, **common
    )


def score_split(metric: Metric, measured: Measured, *, samples: int, seed: int) -> Score:
    """One metric on one split, with a percentile bootstrap interval over its rows where it has a value for each."""
    target = metric.targets.get(measured.split)
    common = {"target": target, "range": metric.range}
    values = metric.function(measured)
    if isinstance(values, float):
        return _finite(values, None, measured.rows, **common)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        why = "no answer was generated" if metric.generates else "no row has a value"
        return Score(value=None, n=0, reason=why, **common)
    interval = bootstrap(values, samples, seed) if np.isfinite(values).all() else None
    return _finite(float(values.mean()), interval, len(values), **common)


def _finite(value: float, interval: tuple[float, float] | None, n: int, **common) -> Score:
    if not np.isfinite(value):
        return Score(value=None, n=n, reason=f"not a finite number: {value}", **common)
    return Score(value=value, ci=interval, n=n, **common)


def bootstrap(values: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` [n], over `samples` resamples of its rows."""
    draws = np.random.default_rng(seed).integers(len(values), size=(samples, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def row_values(metric: str, measured: Measured) -> np.ndarray | None:
    """A metric's value of each row [R], NaN where undefined; None for a metric of the whole split."""
    values = METRICS.get(metric).function(measured)
    return None if isinstance(values, float) else values
