"""What a finished run amounts to: it worked as asked, wrecked what was to be kept, or did nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unlearn_cli.measured import Measured
from unlearn_cli.report import Compared, Scores, Status

COLLAPSE = 0.5  # retain probability after, as a share of before, below which the model counts as wrecked
DIFFERENT = 0.05  # p-value of forget quality below which the two models differ
NO_EFFECT = 0.01  # nats: mean change of an answer token's log-probability below which nothing has happened


def judge(
    moments: Mapping[str, Mapping[str, Measured]], scores: Scores, status: Status, message: str | None
) -> tuple[Status, str | None]:
    """Status and message of a run that reached its end."""
    before, after = moments["before"]["forget"], moments["after"]["forget"]
    moved = float(np.abs(after.mean_logps - before.mean_logps).mean())
    if moved < NO_EFFECT:
        return "no_effect", (
            f"the adapter changed nothing: forget answers moved by {moved:.2g} nats per token; "
            "try a larger --learning-rate or more --epochs"
        )
    kept = scores.get("retain", {}).get("probability")
    if kept and kept.before and kept.after and (kept.after.value or 0.0) < COLLAPSE * (kept.before.value or 0.0):
        return "collapsed", (
            f"retain collapsed: the probability of the answers to keep fell from {kept.before.value:.3f} to "
            f"{kept.after.value or 0.0:.3f}; try npo or simnpo, a larger --retain-weight or a smaller --learning-rate"
        )
    return status, message


def in_short(scores: Scores) -> str | None:
    """What became of the answers to forget and of those to keep, in a line; None where they have no probability."""
    told = []
    for split, moved, stayed in (("forget", "forgot", "not forgotten"), ("retain", "kept", "kept")):
        both = scores.get(split, {}).get("probability")
        if not both or not both.before or not both.after or None in (both.before.value, both.after.value):
            continue
        before, after = both.before.value, both.after.value
        word = moved if after < before else stayed
        left = f" ({_share(after / before)} is left)" if split == "forget" and 0 < after < before else ""
        told.append(f"{word}: {'' if told else 'probability '}{before:.3f} -> {after:.3f}{left}")
    return "; ".join(told) or None


def _share(value: float) -> str:
    return f"{100 * value:.2g}%" if value >= 0.001 else "less than 0.1%"


def next_commands(run: Path, baseline: str = "MODEL") -> list[str]:
    """What to ask of a finished run."""
    folder = shlex.quote(str(run))
    return [f"unlearn chat {folder}", f"unlearn relearn-attack {folder} --baseline {baseline}"]


def over_forgotten(scores: Scores) -> list[str]:
    """In words, where forget rows are less likely than rows that were never seen: no success, but a trace."""
    told = []
    known = scores.get("forget", {}).get("probability")
    there = known and known.after and known.baseline and known.after.value is not None
    if there and known.baseline.ci and known.baseline.n > 1:  # the interval of one row is a point
        low = known.baseline.ci[0]
        if known.after.value < low:
            told.append(
                f"over-forgotten: forget.probability {known.after.value:.4f} is below the baseline's interval "
                f"(from {low:.4f}), which marks these rows as removed"
            )
    quality = scores.get("forget", {}).get("forget_quality")
    if quality and quality.after and quality.after.value is not None:
        beyond = quality.after.details.get("sign", 0.0) > 0
        if beyond and quality.after.value < DIFFERENT:
            told.append(
                f"over-forgotten: truth ratios lie beyond the baseline's (forget_quality p = {quality.after.value:.2g}): "
                "wrong answers have become likelier than they are to the baseline"
            )
    utility = scores.get("utility", {}).get("model_utility")
    if utility and utility.after and utility.after.value == 0.0:
        told.append("model_utility is 0: the model is wrecked, whatever its forget scores say")
    if low := [line for name, both in scores.get("privacy", {}).items() if (line := _stands_out(name, both))]:
        told.append(f"over-forgotten: {', '.join(low)}: forget rows stand out as less likely than unseen ones")
    return told


def _stands_out(name: str, both: Compared) -> str | None:
    """An AUC of membership below what a model gives that never saw the rows: the baseline's interval, or without one 0.5."""
    after, baseline = both.after, both.baseline
    if not name.endswith("_auc") or after is None or after.value is None:
        return None
    if baseline is not None and baseline.ci:
        below, limit = after.value < baseline.ci[0], f"the baseline's interval (from {baseline.ci[0]:.3f})"
    else:
        below, limit = after.ci is not None and after.ci[1] < 0.5, "0.5"
    return f"privacy.{name} {after.value:.3f} is below {limit}" if below else None
