"""Runs that forgot more than a model that never knew: said wherever they may be called best."""

from __future__ import annotations

from unlearn_cli.recipes.ranking import Comparison
from unlearn_cli.rendering.cells import listed
from unlearn_cli.rendering.tables import digits

METRIC = "forget.probability"


def over_forgotten(made: Comparison) -> tuple[list[str] | None, list[str]]:
    """Names of the rows below the baseline's interval, and a sentence that says so.

    The names are None where that is not known: the metric is not shown, or the baseline or its interval is not known.
    """
    column = next((column for column in made.columns if column.name == METRIC and column.baseline is not None), None)
    if column is None:
        return None, []
    own = (entry.score(METRIC, "baseline") for entry in made.entries)
    known = made.baseline.score(METRIC) if made.baseline else next(filter(None, own), None)
    if known is None or known.ci is None or known.n == 1:  # the interval of one row is a point
        return None, []
    low, held = known.ci[0], [(row.name, row.value(METRIC)) for row in made.rows]
    names = [name for name, value in held if value is not None and value < low]
    said = f"Over-forgotten, {METRIC} below the baseline's interval (from {digits(low)}): {listed(names)}."
    return names, [said] if names else []
