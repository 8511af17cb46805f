"""The outcome of a finished run: how much of the forget rows and of the retain rows the model still knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from unlearn_cli.evaluation.baseline import CLEARLY_BELOW, UNKNOWN, below_baseline, lower_end
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring.ability import ability_in_words, ability_note, ability_outcome, language_in_words
from unlearn_cli.report import Compared, Score, Scores, Status, before_and_after

ForgetOutcome = Literal["never known", "not forgotten", "partly forgotten", "forgotten", "over-forgotten"]
RetainOutcome = Literal["kept", "damaged", "wrecked"]
NOT_FORGOTTEN, FORGOTTEN = 0.9, 0.1  # share of knowledge left: "not forgotten" above the first, "forgotten" up to the second
KNOWN = 0.5  # from this probability on, a model has hardly guessed an answer
KEPT = 0.95  # retain rows with at least this share of their probability before count as kept
COLLAPSE = 0.5  # below this share of the retain probability before, the model counts as wrecked
DIFFERENT = 0.05  # p-value of forget quality below which two models differ
NO_EFFECT = 0.01  # nats; with a smaller mean change of an answer token's log-probability, the run changed nothing
# A gradient without a larger element counts as zero. It is a hundredth of AdamW's epsilon, where steps become negligible.
NO_GRADIENT = 1e-10


def without_gradient(steps: Sequence[Mapping[str, Any]]) -> str | None:
    """A message if the forget loss has no gradient in any of the first steps, whose lines are given; else None.

    The gradient norm does not show this, because the retain term may have a gradient. None also if no step recorded it.
    """
    gradients = [line.get("forget_gradient") for line in steps]
    if not gradients or any(value is None or not value <= NO_GRADIENT for value in gradients):
        return None
    return (
        f"the forget loss ({steps[-1]['forget_loss']:.6g}) has no gradient in the first {len(gradients)} steps: no "
        "trained weight changes it; check for a -p parameter or a --forget-weight of 0, for LoRA targets that are all "
        "behind the layer that is read, and for rows that the model does not know"
    )


def judge(
    moments: Mapping[str, Mapping[str, Measured]], scores: Scores, status: Status, message: str | None
) -> tuple[Status, str | None]:
    """Status and message of a run that trained to its end."""
    before, after = moments["before"]["forget"], moments["after"]["forget"]
    moved = float(np.abs(after.mean_logps - before.mean_logps).mean())
    if moved < NO_EFFECT:
        return "no_effect", (f"the run changed nothing: forget answers changed by {moved:.2g} nats a token")
    retain = scores.get("retain", {}).get("probability")
    values = before_and_after(retain)
    if retain and values and retain_outcome(retain) == "wrecked":
        return "collapsed", (
            f"retain collapsed: the probability of the retain answers fell from {_plain(values[0])} to {_plain(values[1])}"
        )
    if ability_outcome(scores) == "wrecked":
        return "collapsed", f"general ability collapsed: {ability_in_words(scores)}"
    return status, message


def forget_outcome(both: Compared) -> ForgetOutcome | None:
    """The outcome for the forget answers, by their probability before, after, and under a baseline.

    None if a probability is missing. Without a baseline, its probability counts as 0, and over-forgetting cannot be seen.
    """
    if (values := before_and_after(both)) is None:
        return None
    before, after = values
    if before < UNKNOWN:
        return "never known"
    if below_baseline(both.after, both.baseline):
        return "over-forgotten"
    share_left = _share_left(before, after, both.baseline)
    return "not forgotten" if share_left > NOT_FORGOTTEN else "partly forgotten" if share_left > FORGOTTEN else "forgotten"


def retain_outcome(both: Compared) -> RetainOutcome | None:
    """The outcome for the retain answers; None if a probability is missing, or the answers were not known before."""
    values = before_and_after(both)
    if values is None or values[0] < UNKNOWN:
        return None
    share = values[1] / values[0]
    return "kept" if share >= KEPT else "damaged" if share >= COLLAPSE else "wrecked"


def in_short(scores: Scores) -> str | None:
    """The outcomes for forget answers, retain answers, general ability and language, in a line.

    None if nothing was measured before and after.
    """
    parts: list[str] = []
    classify: dict[str, Callable[[Compared], str | None]] = {"forget": forget_outcome, "retain": retain_outcome}
    for split in classify:
        both = scores.get(split, {}).get("probability")
        values = before_and_after(both)
        if both is None or values is None or (outcome := classify[split](both)) is None:
            continue
        before, after = values
        share = _percent(_share_left(before, after, both.baseline))
        suffix = f" ({share} is left)" if outcome in ("forgotten", "partly forgotten") else ""
        parts.append(f"{outcome}: {'' if parts else 'probability '}{_plain(before)} -> {_plain(after)}{suffix}")
    ability = ability_in_words(scores)
    return "; ".join([*parts, *([ability] if ability else []), *language_in_words(scores)]) or None


def _share_left(before: float, after: float, baseline: Score | None) -> float:
    """The share of the knowledge above the baseline, or above 0, that is left: 1 is all, 0 is none."""
    level = baseline.value if baseline and baseline.value is not None else 0.0
    return max(0.0, (after - level) / (before - level)) if before > level else 1.0


def _percent(share: float) -> str:
    """A share in percent, such as 41% or 0.4%."""
    if share < 0.001:
        return "less than 0.1%"
    return f"{100 * share:.0f}%" if share >= 0.01 else f"{100 * share:.1f}%"


def _plain(value: float) -> str:
    """A probability with three decimals; a smaller one is not shown as 0."""
    return f"{value:.3f}" if value == 0 or value >= 0.001 else "less than 0.001"


def notes(scores: Scores) -> list[str]:
    """Notes on what limits the meaning of the scores."""
    others = filter(None, (_known_holdout(scores), ability_note(scores)))
    return [*over_forgotten(scores), *others]


def _known_holdout(scores: Scores) -> str | None:
    """A note where the holdout rows are about as likely as the rows to keep, so that the model may have seen them."""
    holdout, retain = (scores.get(split, {}).get("probability", Compared()) for split in ("holdout", "retain"))
    for moment in ("before", "after"):
        ours, kept = (getattr(both, moment) for both in (holdout, retain))
        if ours is None or kept is None or ours.value is None or kept.value is None:
            continue
        if ours.value < max(KNOWN, CLEARLY_BELOW * kept.value):
            return None
        return (
            f"the holdout rows have a probability of {ours.value:.3f}, about that of the rows to keep ({kept.value:.3f}): "
            "if the model was trained on them, no test of membership means anything"
        )
    return None


def over_forgotten(scores: Scores) -> list[str]:
    """Notes on forget rows that are less likely than rows never seen, which shows that they were removed."""
    notes = []
    both = scores.get("forget", {}).get("probability")
    if both and both.after and below_baseline(both.after, both.baseline):
        notes.append(
            f"over-forgotten: forget.probability {both.after.value:.4f} is below the baseline's interval "
            f"(from {lower_end(both.baseline):.4f}), which shows that these rows were removed"
        )
    quality = scores.get("forget", {}).get("forget_quality")
    if quality and quality.after and quality.after.value is not None:
        above = quality.after.details.get("sign", 0.0) > 0
        if above and quality.after.value < DIFFERENT:
            notes.append(
                f"over-forgotten: truth ratios are above the baseline's (forget_quality p = {quality.after.value:.2g}): "
                "wrong answers have become likelier than under the baseline"
            )
    utility = scores.get("utility", {}).get("model_utility")
    if utility and utility.after and utility.after.value == 0.0:
        notes.append("model_utility is 0: the model is wrecked, so its forget scores mean nothing")
    if lines := [line for name, both in scores.get("privacy", {}).items() if (line := _stands_out(name, both))]:
        notes.append(f"over-forgotten: {', '.join(lines)}: forget rows are less likely than unseen rows")
    return notes


def _stands_out(name: str, both: Compared) -> str | None:
    """A sentence if an AUC of membership is below the baseline's interval, or without a baseline below 0.5; else None."""
    after, baseline = both.after, both.baseline
    if not name.endswith("_auc") or after is None or after.value is None:
        return None
    if (low := lower_end(baseline)) is not None:
        below, limit = below_baseline(after, baseline), f"the baseline's interval (from {low:.3f})"
    else:
        below, limit = after.ci is not None and after.ci[1] < 0.5, "0.5"
    return f"privacy.{name} {after.value:.3f} is below {limit}" if below else None
