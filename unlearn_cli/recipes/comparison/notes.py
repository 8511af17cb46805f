"""Notes on a comparison that a reader needs before its numbers."""

from __future__ import annotations

from unlearn_cli.evaluation.baseline import lower_end
from unlearn_cli.recipes.comparison.ranking import moment_values
from unlearn_cli.recipes.comparison.result import Comparison
from unlearn_cli.recipes.comparison.runs import RELEARNING
from unlearn_cli.rendering.compare import listed
from unlearn_cli.rendering.tables import digits
from unlearn_cli.report import UNUSABLE

FORGET_PROBABILITY = "forget.probability"


def comparison_notes(comparison: Comparison) -> list[str]:
    """All notes; those about runs that look better than they are come first."""
    notes = [*_failed_runs(comparison), *_over_forgotten(comparison), *_protocol_differences(comparison)]
    if comparison.baseline is None and any(
        len(moment_values(comparison.rows, column.name, "baseline")) > 1 for column in comparison.columns
    ):
        notes.append("the runs were evaluated against different baselines: none is shown (--baseline DIR)")
    without = [entry.name for entry in comparison.entries if not entry.has_rows]
    if without:
        notes.append(
            f"no values of single rows, so differences have no intervals: {', '.join(without)} (evaluate them again)"
        )
    return notes


def _failed_runs(comparison: Comparison) -> list[str]:
    """A note on failed runs. They are never called best, because scores of a wrecked or unchanged model may look good."""
    reports = {entry.name: entry.report for entry in comparison.entries}
    failed = [f"{name} ({report.status.replace('_', ' ')})" for name, report in reports.items() if report.status in UNUSABLE]
    return [f"Did not end well, so not judged: {listed(failed)}."] if failed else []


def over_forgotten(comparison: Comparison) -> list[str] | None:
    """Names of the rows below the baseline's interval; None if the metric, the baseline or its interval is missing."""
    low = _baseline_lower_end(comparison)
    if low is None:
        return None
    values = {row.name: row.value(FORGET_PROBABILITY) for row in comparison.rows}
    return [name for name, value in values.items() if value is not None and value < low]


def _over_forgotten(comparison: Comparison) -> list[str]:
    low, names = _baseline_lower_end(comparison), over_forgotten(comparison)
    if low is None or not names:
        return []
    limit = f"{FORGET_PROBABILITY} below the baseline's interval (from {digits(low)})"
    return [f"Over-forgotten, {limit}: {listed(names)}."]


def _baseline_lower_end(comparison: Comparison) -> float | None:
    """The lower end of the baseline's interval; None if it is not known, or is from one row, whose interval is a point."""
    if not any(column.name == FORGET_PROBABILITY and column.baseline is not None for column in comparison.columns):
        return None
    if comparison.baseline:
        score = comparison.baseline.score(FORGET_PROBABILITY)
    else:
        scores = (entry.score(FORGET_PROBABILITY, "baseline") for entry in comparison.entries)
        score = next(filter(None, scores), None)
    return lower_end(score)


def _protocol_differences(comparison: Comparison) -> list[str]:
    """Notes on runs that were measured or attacked differently."""
    comparability, notes = comparison.comparability, []
    if comparability.run_hashes:
        splits = ", ".join(sorted(comparability.differing))
        notes.append(f"these runs were measured differently (column 'measured'): nothing is called best on {splits}")
    if comparability.baseline_differing:
        splits = ", ".join(sorted(comparability.baseline_differing))
        notes.append(f"the baseline was measured differently, so it is left out, on {splits}")
    notes += [
        f"{entry.name}: `unlearn evaluate` measured {', '.join(sorted(entry.remeasured))} differently from the run; the "
        "run's own scores are shown"
        for entry in comparison.entries
        if entry.remeasured
    ]
    if comparability.attack_difference:
        shown = any(column.name == RELEARNING for column in comparison.columns)
        words = "shown, but not judged" if shown else "left out"
        notes.append(f"{comparability.attack_difference}: {RELEARNING} is {words}")
    return notes
