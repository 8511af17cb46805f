"""Turn measurements into scores: each metric's value and its interval, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from unlearn_cli.contract import METRICS, Metric
from unlearn_cli.evaluation.interval import ANY, Z, expanded
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._ranking import auc, true_positives
from unlearn_cli.report import Score

Splits = Mapping[str, Measured]
Parameters = Mapping[str, Mapping[str, Any]]  # user's parameters by metric
WITHOUT = {  # moments that a metric may need -> why it has no value without them
    "baseline": "needs --baseline, a model that never saw the forget rows",
    "before": "needs the scores before: evaluate a run of `unlearn forget`",
}

FALSE_POSITIVES = (0.001, 0.01, 0.05)  # rates at which the share of recognized rows is reported beside an AUC


def score(
    metrics: Sequence[str],
    measured: Splits,
    *,
    samples: int,
    seed: int,
    beside: Mapping[str, Splits] = MappingProxyType({}),
    parameters: Parameters = MappingProxyType({}),
) -> dict[str, dict[str, Score]]:
    """Scores by split, or by group for metrics that compare splits, and metric.

    A metric is left out if one of its splits is missing.

    Args:
        metrics: names of metrics.
        measured: measurements by split.
        samples: bootstrap resamples behind each confidence interval.
        seed: of the resampling.
        beside: measurements by split of the retain-only model ("baseline") and of the untouched one ("before").
        parameters: the user's parameters of metrics, by the metric's name.

    Raises:
        UnlearnError: an unknown parameter of a metric, or a bad value.
    """
    declared = {name: METRICS.get(name) for name in metrics}
    given = {m.name: m.resolve(parameters.get(m.name, {})) for m in declared.values()}
    scores = {
        split: {
            m.name: score_split(m, values, given[m.name], samples=samples, seed=seed)
            for m in declared.values()
            if m.needs == ("split",) and (not m.splits or split in m.splits)
        }
        for split, values in measured.items()
    }
    for m in declared.values():
        needed = [name for name in m.needs if name not in ("split", *WITHOUT)]
        if needed and all(name in measured for name in needed):
            assert m.group is not None
            score = _across(m, measured, beside, given[m.name], samples=samples, seed=seed)
            scores.setdefault(m.group, {})[m.name] = score
    return {split: by_metric for split, by_metric in scores.items() if by_metric}


def _across(
    metric: Metric,
    measured: Splits,
    beside: Mapping[str, Splits],
    given: Mapping[str, Any],
    *,
    samples: int,
    seed: int,
) -> Score:
    """A metric that compares splits."""
    common: dict[str, Any] = {"target": metric.target(metric.group or ""), "range": metric.range}
    needed = [name for name in metric.needs if name not in WITHOUT]
    rows = sum(measured[name].rows for name in needed)
    for moment in (name for name in metric.needs if name in WITHOUT):
        if moment not in beside:
            return Score(value=None, n=rows, reason=WITHOUT[moment], **common)
        if missing := [name for name in needed if name not in beside[moment]]:
            return Score(value=None, n=rows, reason=f"{missing[0]} was not measured for {moment}", **common)
    values = metric.function(*(beside[name] if name in WITHOUT else measured[name] for name in metric.needs), **given)
    if metric.aggregate == "mean":
        value, details = values if isinstance(values, tuple) else (values, {})
        return _one(metric, float(value), rows, details=details, **common)
    first, second = (np.asarray(v, dtype=np.float64) for v in values)
    defined = first[~np.isnan(first)], second[~np.isnan(second)]
    dropped = len(first) + len(second) - len(defined[0]) - len(defined[1])
    first, second = defined
    if not len(first) or not len(second):
        return Score(value=None, n=0, dropped=dropped, reason=metric.undefined or "no row has a value on one side", **common)
    draw, value = np.random.default_rng(seed), auc(first, second)
    resampled = [auc(draw.choice(first, len(first)), draw.choice(second, len(second))) for _ in range(samples)]
    interval = expanded(np.array(resampled), value, min(len(first), len(second)), (0.0, 1.0))
    details = {f"tpr_at_{100 * rate:g}_percent_fpr": true_positives(first, second, rate) for rate in FALSE_POSITIVES}
    return Score(
        value=value, ci=interval, n=len(first) + len(second), dropped=dropped,
        reason=_left_out(metric, dropped), details=details, **common,
    )  # fmt: skip


def score_split(
    metric: Metric, measured: Measured, given: Mapping[str, Any] = MappingProxyType({}), *, samples: int, seed: int
) -> Score:
    """One metric on one split, with a bootstrap interval over its rows where it has a value for each."""
    common: dict[str, Any] = {"target": metric.target(measured.split), "range": metric.range}
    if metric.generates and all(text is None for text in measured.generations) and measured.samples is None:
        return Score(value=None, n=0, reason="no answer was generated", **common)
    result = metric.function(measured, **given)
    values, details = result if isinstance(result, tuple) else (result, {})
    if isinstance(values, float):
        return _one(metric, values, measured.rows, details=details, **common)
    rows = measured.rows
    if metric.generates:
        rows = sum(text is not None for text in measured.generations)
    values = values[~np.isnan(values)]
    dropped = max(0, rows - len(values))
    if len(values) == 0:
        return Score(value=None, n=0, dropped=dropped, reason=metric.undefined or "no row has a value", **common)
    if np.isin(values, (0.0, 1.0)).all() and not metric.fluency and metric.name.endswith("accuracy"):
        details = {**details, **accuracies(values, max(len(values), measured.rows_in_split))}
    interval = bootstrap(values, samples, seed, metric.range) if np.isfinite(values).all() else None
    common |= {"dropped": dropped, "details": details, "reason": _left_out(metric, dropped)}
    if np.isfinite(values).all():
        common |= {"smallest": float(values.min()), "largest": float(values.max())}
    return _one(metric, float(values.mean()), len(values), interval, **common)


def _left_out(metric: Metric, dropped: int) -> str | None:
    return f"{dropped} rows left out: {metric.undefined or 'they have no value'}" if dropped else None


def _one(metric: Metric, value: float, n: int, interval: tuple[float, float] | None = None, **fields: Any) -> Score:
    """A score, if its value is a finite number; infinity among rows makes the mean infinite."""
    if not np.isfinite(value):
        reason = metric.undefined if np.isnan(value) and metric.undefined else f"not a finite number: {value}"
        return Score(**{**fields, "value": None, "n": n, "reason": reason})
    return Score(value=value, ci=interval, n=n, **fields)


def accuracies(values: np.ndarray, population: int) -> dict[str, float]:
    """95 % limits of two different accuracies (NIST AI 800-3, 2026 draft), from right answers [n].

    `benchmark`: on the questions of the benchmark, of which n were measured; exact if all were. `generalized`:
    on all questions that the benchmark could have asked; its own are a sample of them. Wilson's interval, for the first
    with the correction for a finite population.
    """
    n, share = len(values), float(values.mean())
    rest = (population - n) / max(1, population - 1)
    limits = {"benchmark": wilson(share, n, Z * rest**0.5), "generalized": wilson(share, n, Z)}
    return {
        f"{name}_{end}": value for name, both in limits.items() for end, value in zip(("low", "high"), both, strict=True)
    }


def wilson(share: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a share among n, `z` standard deviations wide on each side."""
    middle, width = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


def bootstrap(
    values: np.ndarray, samples: int, seed: int, bounds: tuple[float | None, float | None] = ANY
) -> tuple[float, float] | None:
    """95 % interval of the mean of `values` [n] within `bounds`, over `samples` resamples of its rows; None for one row.

    See `interval.expanded`.
    """
    draws = np.random.default_rng(seed).integers(len(values), size=(samples, len(values)))
    return expanded(values[draws].mean(axis=1), float(values.mean()), len(values), bounds)


def row_values(metric: str, measured: Measured, given: Mapping[str, Any] = MappingProxyType({})) -> np.ndarray | None:
    """A metric's value of each row [R], NaN where undefined; None for a metric of the whole split."""
    result = METRICS.get(metric).function(measured, **given)
    values = result[0] if isinstance(result, tuple) else result
    return None if isinstance(values, float) else values
