"""Six scores of the demo's run in words, for readers who do not know the metrics."""

from __future__ import annotations

from collections.abc import Callable

from unlearn_cli.evaluation.baseline import below_baseline
from unlearn_cli.recipes.scoring.outcome import KEPT, forget_outcome, retain_outcome
from unlearn_cli.rendering.tables import ScoreInWords
from unlearn_cli.report import Compared, Score, Scores, before_and_after

Words = tuple[str, bool]  # the meaning of a score, and whether it is good


def lines_in_words(scores: Scores) -> list[ScoreInWords]:
    """The scores that have a value after unlearning, those of the forget rows first."""
    chosen: dict[tuple[str, str], tuple[str, Callable[[Compared], Words]]] = {
        ("forget", "probability"): ("two people: answer probability", _forgotten),
        ("forget", "rouge_l"): ("two people: words of the answer", _guessed),
        ("privacy", "loss_auc"): ("two people: told from strangers", _like_strangers),
        ("retain", "probability"): ("others: answer probability", _kept_answers),
        ("retain", "rouge_l"): ("others: words of the answer", _kept_words),
        ("retain", "gibberish"): ("others: answers of gibberish", _language),
    }
    lines = []
    for (split, name), (what, words) in chosen.items():
        both = scores.get(split, {}).get(name)
        if both is not None and both.after is not None and both.after.value is not None:
            values = (_value(both.before), both.after.value, _value(both.baseline))
            lines.append(ScoreInWords(what, *values, *words(both)))
    return lines


def _value(score: Score | None) -> float | None:
    return score.value if score else None


def _forgotten(both: Compared) -> Words:
    outcome = forget_outcome(both) or "not measured before"
    return ("as if never learned" if outcome == "forgotten" else outcome), outcome == "forgotten"


def _guessed(both: Compared) -> Words:
    high = both.baseline.ci[1] if both.baseline and both.baseline.ci else _value(both.baseline)
    good = high is not None and both.after is not None and both.after.value is not None and both.after.value <= high
    return ("as if by guessing", True) if good else ("more than guessing", False)


def _like_strangers(both: Compared) -> Words:
    if below_baseline(both.after, both.baseline):
        return "they stand out as removed", False
    high = both.baseline.ci[1] if both.baseline and both.baseline.ci else 0.5
    value = _value(both.after) or 0.0
    return ("they still stand out", False) if value > high else (f"by chance up to {high:.2f}", True)


def _kept_answers(both: Compared) -> Words:
    outcome = retain_outcome(both) or "not known before"
    return outcome, outcome == "kept"


def _kept_words(both: Compared) -> Words:
    values = before_and_after(both)
    is_kept = values is not None and values[1] >= KEPT * values[0]
    return ("kept", True) if is_kept else ("damaged", False)


def _language(both: Compared) -> Words:
    return ("whole sentences", True) if not _value(both.after) else ("some are broken", False)
