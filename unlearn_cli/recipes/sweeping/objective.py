"""The order of the runs of a sweep: forget down to the level of never having known, and keep enough of the retain rows.

    minimize  max(0, log(forget / level)) + share of rows above their level + share of the retain probability that is lost
    subject to  share of the retain probability that is left >= the share of --keep

The first two terms are 0 for a run that reached its level. So the best of such runs is the one that keeps most, not the
one that forgets most. `--search` minimizes it too.
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

WORST = 100.0  # value of a run without measurements; larger than any logarithm of probabilities here
LACKING = 10.0  # weight of the missing share, to compare runs that all kept too little; as in `training/target.py`
LEVEL = 0.1  # times the probability before: the level of a run without a target, as in `forgetting/target.py`


@dataclass(frozen=True)
class Judged:
    """The judgment of a finished run."""

    value: float  # smaller is better
    lacking: float  # share of the retain probability that is missing to the share to keep; above 0: too little is kept
    failed: bool  # diverged, collapsed, or changed nothing

    @property
    def total(self) -> float:
        """The value, with what is missing to the share to keep."""
        return self.value + LACKING * max(0.0, self.lacking)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """A key for sorting. Runs that ended well and kept enough come first; a run cannot win by doing nothing."""
        return self.failed, self.lacking > 0, self.total


def judged(report: RunReport, score: Callable[[Lookup], float] | None = None) -> Judged:
    """Judge a finished run by the two halves of its target.

    Args:
        report: the report of the run.
        score: replaces the first half; larger is better. The constraint stays.
    """
    failed, target = report.status in UNUSABLE, report.target
    share_kept = target.retain_share if target else share_left(report.scores, "retain")
    lacking = (target.keep if target else KEPT) - share_kept if share_kept is not None else 0.0
    if target and target.retain_reached:  # --keep may be another condition
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
    return Judged(excess + (1.0 - share_kept if share_kept is not None else 0.0), lacking, failed)


def _excess(scores: Scores) -> float:
    """The logarithm of the forget probability over a tenth of that before; 0 if it is below."""
    values = before_and_after(scores.get("forget", {}).get("probability"))
    if values is None or not values[0]:
        return WORST
    return max(0.0, math.log(max(values[1], 1e-12) / (LEVEL * values[0])))
