"""What a finished run amounts to: it worked as asked, wrecked what was to be kept, or did nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unlearn_cli.console import Reporter
from unlearn_cli.evaluation.baseline import UNKNOWN
from unlearn_cli.measured import Measured
from unlearn_cli.report import Compared, Score, Scores, Status

ForgetOutcome = Literal["never known", "not forgotten", "partly forgotten", "forgotten", "over-forgotten"]
RetainOutcome = Literal["kept", "damaged", "wrecked"]
NOT_FORGOTTEN, FORGOTTEN = 0.9, 0.1  # share of the knowledge left, above and up to which the words are said
KEPT = 0.95  # retain probability after, as a share of before, from which on the rows count as kept
COLLAPSE = 0.5  # retain probability after, as a share of before, below which the model counts as wrecked
DIFFERENT = 0.05  # p-value of forget quality below which the two models differ
NO_EFFECT = 0.01  # nats: mean change of an answer token's log-probability below which nothing has happened
# Largest element of a gradient below which it is none: a hundredth of AdamW's epsilon, at which a step becomes nothing.
NO_GRADIENT = 1e-10


def without_gradient(steps: Sequence[Mapping[str, Any]]) -> str | None:
    """Why training is useless, from the lines of its first steps: the forget loss has no gradient in any of them.

    The retain term may well have one, so that losses and gradient norms look alive. None: there is one, or no step looked.
    """
    gradients = [line.get("forget_gradient") for line in steps]
    if not gradients or any(value is None or not value <= NO_GRADIENT for value in gradients):
        return None
    return (
        f"the forget loss has no gradient in the first {len(gradients)} steps (it is {steps[-1]['forget_loss']:.6g}): no "
        "weight that is trained changes it; look for a -p parameter or a --forget-weight of 0, for LoRA targets that are "
        "all behind the layer that is read, and for rows that the model does not know"
    )


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
    if kept and retain_outcome(kept) == "wrecked":
        return "collapsed", (
            f"retain collapsed: the probability of the answers to keep fell from {_plain(kept.before.value)} to "
            f"{_plain(kept.after.value)}; try npo or simnpo, a larger --retain-weight or a smaller --learning-rate"
        )
    return status, message


def forget_outcome(both: Compared) -> ForgetOutcome | None:
    """What became of the answers to forget, by their probability before, after, and under a model that never knew them.

    None where a probability is missing. Without a baseline, the probability that a model gives which never knew the answers
    is taken to be 0, and over-forgetting cannot be seen.
    """
    if (values := _before_and_after(both)) is None:
        return None
    before, after = values
    if before < UNKNOWN:
        return "never known"
    if (limit := _lower_limit(both.baseline)) is not None and after < limit:
        return "over-forgotten"
    left = _share_left(both)
    return "not forgotten" if left > NOT_FORGOTTEN else "partly forgotten" if left > FORGOTTEN else "forgotten"


def retain_outcome(both: Compared) -> RetainOutcome | None:
    """What became of the answers to keep; None where a probability is missing, or where they were not known before."""
    values = _before_and_after(both)
    if values is None or values[0] < UNKNOWN:
        return None
    share = values[1] / values[0]
    return "kept" if share >= KEPT else "damaged" if share >= COLLAPSE else "wrecked"


def in_short(scores: Scores) -> str | None:
    """What became of the answers to forget and of those to keep, in a line; None where they have no probability."""
    parts = []
    for split, classify in (("forget", forget_outcome), ("retain", retain_outcome)):
        both = scores.get(split, {}).get("probability")
        outcome = classify(both) if both else None
        if outcome is None:
            continue
        before, after = _before_and_after(both)
        left = f" ({_percent(_share_left(both))} is left)" if outcome in ("forgotten", "partly forgotten") else ""
        parts.append(f"{outcome}: {'' if parts else 'probability '}{_plain(before)} -> {_plain(after)}{left}")
    return "; ".join(parts) or None


def advice(scores: Scores) -> str | None:
    """What to try next where the rows are not forgotten as they should be, or others are damaged; None if all is well."""
    forget, retain = (scores.get(split, {}).get("probability") for split in ("forget", "retain"))
    outcome = forget_outcome(forget) if forget else None
    steps = []
    if retain and retain_outcome(retain) in ("damaged", "wrecked"):
        steps.append("a larger --retain-weight or a smaller --learning-rate")
    if outcome in ("not forgotten", "partly forgotten"):
        steps.append("more --epochs" if steps else "more --epochs or a larger --learning-rate")
    if outcome == "over-forgotten":
        steps.append(f"--stop-when 'forget.probability < {forget.baseline.value:.2g}'")
    if outcome == "never known":
        return "the model did not know the rows to forget: check --forget and --model"
    return f"try {', and '.join(steps)}" if steps else None


def say(scores: Scores, reporter: Reporter) -> None:
    """Say what became of the rows and, where something is wrong, what to try next."""
    lines = [line for line in (in_short(scores), advice(scores)) if line is not None]
    if lines:
        reporter.say("\n" + "\n".join(lines))


def _before_and_after(both: Compared) -> tuple[float, float] | None:
    if not both.before or not both.after or None in (both.before.value, both.after.value):
        return None
    return both.before.value, both.after.value


def _lower_limit(baseline: Score | None) -> float | None:
    """The lower limit of the baseline's interval; None without one. The interval of a single row is no limit."""
    return baseline.ci[0] if baseline and baseline.ci and baseline.n > 1 else None


def _share_left(both: Compared) -> float:
    """How much of what the model knew beyond the baseline it still knows: 1 is all, 0 is none."""
    before, after = both.before.value, both.after.value
    level = both.baseline.value if both.baseline and both.baseline.value is not None else 0.0
    return max(0.0, (after - level) / (before - level)) if before > level else 1.0


def _percent(share: float) -> str:
    """A share for people: 41 %, 0.4 %."""
    if share < 0.001:
        return "less than 0.1%"
    return f"{100 * share:.0f}%" if share >= 0.01 else f"{100 * share:.1f}%"


def _plain(value: float) -> str:
    """A probability with three decimals; one that would look like 0 says that it is not."""
    return f"{value:.3f}" if value == 0 or value >= 0.001 else "less than 0.001"


def next_commands(run: Path, baseline: Path | None = None) -> list[str]:
    """Commands that ask the finished run in `run` more, and attack it; each can be pasted."""
    folder = shlex.quote(str(run))
    control = f" --baseline {shlex.quote(str(baseline))}" if baseline else ""
    return [f"unlearn chat {folder}", f"unlearn relearn-attack {folder}{control}"]


def over_forgotten(scores: Scores) -> list[str]:
    """In words, where forget rows are less likely than rows that were never seen: no success, but a trace."""
    told = []
    known = scores.get("forget", {}).get("probability")
    low = _lower_limit(known.baseline) if known and known.after and known.after.value is not None else None
    if low is not None and known.after.value < low:
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
