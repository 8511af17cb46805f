"""The aim of a search: forget to the level of never having known, under the constraint that enough is kept.

    minimize  max(0, log(forget / level)) + share of rows above their level + share of the retain probability that is lost
    subject to  share of the retain probability that is left >= what --keep asks for

The first two terms are 0 for a run that reached its level, so that of such runs the one that keeps most is the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from unlearn_cli.expressions.parser import Lookup, Missing
from unlearn_cli.recipes.scoring.gates import lookup_in
from unlearn_cli.recipes.scoring.outcome import KEPT
from unlearn_cli.recipes.scoring.verdict import share_left
from unlearn_cli.report import UNUSABLE, RunReport, Scores, before_and_after

WORST = 100.0  # of a run without measurements; more than any logarithm of probabilities here
LACKING = 10.0  # weight of what was not kept, among runs that all kept too little; as in `training/target.py`
LEVEL = 0.1  # of the probability before, where a run has no target of its own: as `forgetting/target.py`


@dataclass(frozen=True)
class Judged:
    """A finished run in a search."""

    value: float  # smaller is better
    lacking: float  # share of the retain probability that is missing from what was to be kept; above 0: not enough is kept
    failed: bool  # diverged, collapsed, or changed nothing

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Less is better: runs that ended well and kept enough come first. Of the others none wins by doing nothing."""
        return self.failed, self.lacking > 0, self.value + LACKING * max(0.0, self.lacking)


def judged(report: RunReport, score: Callable[[Lookup], float] | None = None) -> Judged:
    """Judge a finished run by the two halves of its target.

    Args:
        report: of the run.
        score: what is to be large in place of the first half; the constraint stays.
    """
    failed, target = report.status in UNUSABLE, report.target
    kept = target.retain_share if target else share_left(report.scores, "retain")
    lacking = (target.keep if target else KEPT) - kept if kept is not None else 0.0
    if target and target.retain_reached:  # by --keep, where it is given
        lacking = min(lacking, 0.0)
    lacking = max(lacking, 1.0) if failed else lacking
    if score is not None:
        try:
            return Judged(-score(lookup_in(report.scores)), lacking, failed)
        except Missing:
            return Judged(WORST, lacking, failed)
    excess = _excess(report.scores)
    if target and target.forget is not None:
        excess = 0.0
        if not target.forget_reached:
            excess = max(0.0, math.log(max(target.forget, 1e-12) / target.level)) + target.rows_above / target.rows
    return Judged(excess + (1.0 - kept if kept is not None else 0.0), lacking, failed)


def _excess(scores: Scores) -> float:
    """How far the forget rows are above a tenth of their probability before, as a logarithm; 0: below it."""
    values = before_and_after(scores.get("forget", {}).get("probability"))
    if values is None or not values[0]:
        return WORST
    return max(0.0, math.log(max(values[1], 1e-12) / (LEVEL * values[0])))
