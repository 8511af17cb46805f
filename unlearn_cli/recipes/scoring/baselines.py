"""Several baselines: how far honest trainings without the forget rows are from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from unlearn_cli.config import MeasuringOptions
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.baseline import METRIC, check_baseline
from unlearn_cli.evaluation.score import score
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring.metric_parameters import by_metric
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED
from unlearn_cli.report import Scores

SIGNIFICANT = 0.05
SAID = (METRIC, "rouge_l")  # of the forget rows, in words


def add_baselines(
    scores: Scores,
    moments: Mapping[str, Mapping[str, Measured]],
    others: Mapping[str, Mapping[str, Measured]],
    options: MeasuringOptions,
    metrics: tuple[str, ...],
) -> None:
    """Add to `scores` what the second and each further baseline gives, and the model under test against it.

    Raises:
        UnlearnError: one of them knows the forget rows.
    """
    names = [METRICS.canonical(name) for name in metrics] or METRICS.names()
    comparing = [name for name in names if "baseline" in METRICS.get(name).needs]
    draw = {"samples": options.bootstrap_samples, "seed": BOOTSTRAP_SEED}
    given = by_metric(options.metric_parameters)
    before = {"before": moments["before"]} if "before" in moments else {}
    for name, other in others.items():
        own = score(names, other, beside=before, parameters=given, **draw)
        against = score(comparing, moments["after"], beside={**before, "baseline": other}, parameters=given, **draw)
        known = scores.get("forget", {}).get(METRIC)
        if known is not None:
            check_baseline(own.get("forget", {}).get(METRIC), known.before, f"--baseline {name}")
        for field, scored in (("baselines", own), ("against", against)):
            for split, values in scored.items():
                for metric, value in values.items():
                    if metric in scores.get(split, {}) and (field == "against" or metric not in comparing):
                        getattr(scores[split][metric], field).append(value.value)


def spread(scores: Scores) -> Iterator[str]:
    """Sentences on where the model under test is among the baselines, and whether it is nearer to all of them."""
    forget = scores.get("forget", {})
    for metric in SAID:
        both = forget.get(metric)
        if both is None or both.after is None or both.baseline is None or both.after.value is None:
            continue
        values = [value for value in (both.baseline.value, *both.baselines) if value is not None]
        low, high, after = min(values), max(values), both.after.value
        where = "below all of them" if after < low else "above all of them" if after > high else "between them"
        yield f"forget.{metric} under {len(values)} baselines: {low:.3g} to {high:.3g}; this model, {after:.3g}, is {where}"
    test = forget.get("nearer")
    if test is not None and test.after is not None:
        tested = [value for value in (test.after.value, *test.against) if value is not None]
        nearer = sum(value < SIGNIFICANT for value in tested)
        if tested:
            yield (
                f"nearer to the baseline than to the model before (p < {SIGNIFICANT:g}): for {nearer} of {len(tested)} "
                f"baselines; the largest p is {max(tested):.2g}"
            )
