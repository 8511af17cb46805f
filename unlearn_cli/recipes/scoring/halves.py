"""Judge the two halves of a target by measured rows, after a run and after each later evaluation of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unlearn_cli.config.expressions import metric_names
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.never_known import REACHED, likeliest_row, still_known
from unlearn_cli.expressions.parser import Condition, parse
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.report import RunReport, Scores
from unlearn_cli.report_parts import Aims, TargetReport

WORST_LISTED = 5  # rows

Moments = Mapping[str, Mapping[str, Measured]]  # before, after -> split -> measurements


def judge_halves(
    aims: Aims, moments: Moments, scores: Scores, until: Condition | None, keep: Condition | None
) -> TargetReport:
    """The report on both halves of a target.

    Args:
        aims: the target.
        moments: "before" and "after" -> measurements by split.
        scores: the same measurements, scored.
        until: decides on the forget half in place of `aims`.
        keep: decides on the retain half in place of `aims`.

    Raises:
        UnlearnError: `until` or `keep` names a score that has no value.
    """
    before, after = (moments[moment]["forget"] for moment in ("before", "after"))
    forget = after.probabilities
    above = forget > aims.row_level
    known = above & still_known(forget, before.probabilities, aims.level)
    share = _share_left(moments)
    few = likeliest_row(forget, before.probabilities, aims.level, len(forget)) <= aims.row_level
    forget_reached = gates.holds(until, scores, "--until") if until else bool(forget.mean() <= aims.level * REACHED and few)
    retain_reached = gates.holds(keep, scores, "--keep") if keep else share is None or share >= aims.keep
    return TargetReport(
        **{name: getattr(aims, name) for name in Aims.model_fields},
        forget_reached=forget_reached,
        retain_reached=retain_reached,
        retain_share=share,
        forget=float(forget.mean()),
        rows_above=int(above.sum()),
        rows_known=int(known.sum()),
        rows=len(forget),
        worst={after.ids[i]: float(forget[i]) for i in np.argsort(-forget)[:WORST_LISTED]},
    )


def judged_again(run: RunReport, moments: Moments, scores: Scores) -> TargetReport | None:
    """The target of a run, judged by a later measurement of the same rows; None where that cannot be.

    The model may be another one by now: merged, rounded to four bits, or the original by mistake.
    """
    if run.target is None or not all("forget" in moments.get(moment, {}) for moment in ("before", "after")):
        return None
    texts = [run.config.get(name) for name in ("until", "keep")]
    try:
        until, keep = (parse(text, metrics=metric_names()) if isinstance(text, str) else None for text in texts)
        return judge_halves(run.target, moments, scores, until, keep)
    except UnlearnError:  # what --until is about was not scored this time
        return None


def _share_left(moments: Moments) -> float | None:
    """The share that is left of the held-out retain rows' probability; None where it was not measured."""
    before, after = (moments[moment].get("retain") for moment in ("before", "after"))
    return float(after.probabilities.mean() / before.probabilities.mean()) if before and after else None
