"""The metrics that a comparison shows, and the two metrics of its front."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_cli.config import CompareConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.comparison.comparability import Comparability
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry
from unlearn_cli.registry import unknown

USUAL = (
    "forget.probability", "forget.rouge_l", "forget.extraction_strength", "forget.forget_quality", "privacy.loss_auc",
    "retain.probability", "retain.rouge_l", "general.choice_accuracy", "general_text.perplexity",
    "utility.model_utility", RELEARNING,
)  # fmt: skip


def shown_metrics(config: CompareConfig, entries: Sequence[Entry], comparability: Comparability) -> list[str]:
    """The metrics that `--metrics` names; without it, the usual ones that a run has.

    Raises:
        UnlearnError: a named metric is unknown, has no value to rank by, or compares attacks that differ.
    """
    ranked_by = [*(config.front if "front" in config.model_fields_set else ()), *filter(None, [config.sort])]
    named = [*config.metrics, *ranked_by]
    reports = [report for entry in entries for report in entry.reports]
    known = {RELEARNING} | {f"{s}.{name}" for report in reports for s, metrics in report.scores.items() for name in metrics}
    for name in named:
        if name not in known:
            raise unknown("metric", name, known)
        if name in ranked_by and not any(entry.score(name) for entry in entries):
            raise UnlearnError(f"no run has a value of {name}", "choose one that the table shows")
    if len(config.front) != 2:
        raise UnlearnError("--front takes two metrics", "--front forget.probability,retain.probability")
    attacks_differ = comparability.attack_difference if not config.allow_different else None
    if RELEARNING in named and attacks_differ:
        raise UnlearnError(attacks_differ, "attack all runs with the same settings, or --allow-different, which marks it")
    if config.metrics:
        return list(dict.fromkeys(config.metrics))
    usual = [name for name in USUAL if any(entry.score(name) for entry in entries)]
    return [name for name in usual if name != RELEARNING] if attacks_differ else usual


def front_metrics(config: CompareConfig, rows: Sequence[Row]) -> tuple[str, ...]:
    """The metrics of the front; none if `--front` was not given and no run has both default metrics."""
    in_some_row = any(all(row.value(name) is not None for name in config.front) for row in rows)
    return config.front if in_some_row or "front" in config.model_fields_set else ()
