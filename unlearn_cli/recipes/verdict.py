"""What a finished run amounts to: it worked as asked, wrecked what was to be kept, or did nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unlearn_cli.measured import Measured
from unlearn_cli.report import Scores, Status

COLLAPSE = 0.5  # retain probability after, as a share of before, below which the model counts as wrecked
NO_EFFECT = 0.01  # nats: mean change of an answer token's log-probability below which nothing has happened


def judge(
    moments: Mapping[str, Mapping[str, Measured]], scores: Scores, status: Status, message: str | None
) -> tuple[Status, str | None]:
    """Status and message of a run that reached its end."""
    before, after = moments["before"]["forget"], moments["after"]["forget"]
    moved = float(np.abs(after.mean_logps - before.mean_logps).mean())
    if moved < NO_EFFECT:
        return "no_effect", (
            f"the adapter changed nothing: forget answers moved by {moved:.2g} nats a token; "
            "try a larger --learning-rate or more --epochs"
        )
    kept = scores.get("retain", {}).get("probability")
    if kept and kept.before and kept.after and (kept.after.value or 0.0) < COLLAPSE * (kept.before.value or 0.0):
        return "collapsed", (
            f"retain collapsed: the probability of answers to keep fell from {kept.before.value:.3f} to "
            f"{kept.after.value or 0.0:.3f}; try npo or simnpo, a larger --retain-weight or a smaller --learning-rate"
        )
    return status, message
