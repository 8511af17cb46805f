"""Damage beyond the rows, in words: loss of general ability, and answers that are no longer language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from unlearn_cli.data.general_ability import CHANCE, QUESTIONS, TEXTS
from unlearn_cli.metrics._language import FAULTS, Fault
from unlearn_cli.report import Scores, before_and_after

AbilityOutcome = Literal["not known", "kept", "damaged", "wrecked"]
ACCURACY, PERPLEXITY, GIBBERISH = "choice_accuracy", "perplexity", "gibberish"
# Scores that are compared row by row, before and after: split -> metric -> its name in a sentence.
JUDGED = {
    QUESTIONS: {
        ACCURACY: "general ability",
        "normalized_probability": "the share of the right answer to general questions",
        "rouge_l": "ROUGE-L of the answers to general questions",
    },
    TEXTS: {"nll": "perplexity of general text"},
}
KEPT = 0.95  # a score of at least this share of the one before counts as kept
COLLAPSE = 0.5  # below this share of the accuracy above guessing, the model counts as wrecked
COLLAPSED_TEXT = 10.0  # from this factor on the perplexity, the model counts as wrecked
READABLE = 100.0  # perplexity of general text up to which a model reads it
FEW = 0.05  # new faults in at most this share of the answers are not named
ANSWERS = {"forget": "answer", "retain": "retain answer", QUESTIONS: "general answer"}  # split -> its answers in a sentence
WORDS: dict[Fault, tuple[str, str]] = {  # for one answer, for several
    "empty": ("is empty", "are empty"),
    "repeated": ("repeats itself", "repeat themselves"),
    "broken": ("is broken words", "are broken words"),
}


def ability_outcome(scores: Scores) -> AbilityOutcome | None:
    """The outcome for general ability; None if it was not measured before and after.

    It is damaged if a score fell beyond noise (the paired interval excludes 0) and by more than 5 % of the score before.
    A model that guesses at the questions is judged by the text alone, if it reads that.
    """
    accuracy = scores.get(QUESTIONS, {}).get(ACCURACY)
    if accuracy is None or (values := before_and_after(accuracy)) is None:
        return None
    before, after = values
    low = accuracy.before.ci[0] if accuracy.before and accuracy.before.ci else before
    damage = damages(scores)
    if low <= CHANCE:
        text = before_and_after(scores.get(TEXTS, {}).get(PERPLEXITY))
        if f"{TEXTS}.nll" not in damage or text is None or text[0] > READABLE:
            return "not known"
    if not damage:
        return "kept"
    if f"{QUESTIONS}.{ACCURACY}" in damage and after - CHANCE < COLLAPSE * (before - CHANCE):
        return "wrecked"
    text = damage.get(f"{TEXTS}.nll")
    return "wrecked" if text and text[1] >= COLLAPSED_TEXT * text[0] else "damaged"


def damages(scores: Scores) -> dict[str, tuple[float, float]]:
    """SPLIT.METRIC -> values before and after, of the scores that got worse beyond noise; for text, of the perplexity."""
    fell = {}
    for split, metrics in JUDGED.items():
        for name in metrics:
            both = scores.get(split, {}).get(name)
            if both is None or both.change is None or both.change.ci is None:
                continue
            values = before_and_after(scores[split].get(PERPLEXITY) if split == TEXTS else both)
            if values is None:
                continue
            low, high = both.change.ci
            worse = low > 0 and values[1] > values[0] / KEPT if split == TEXTS else high < 0 and values[1] < KEPT * values[0]
            if worse:
                fell[f"{split}.{name}"] = values
    return fell


def ability_in_words(scores: Scores) -> str | None:
    """General ability as a part of the verdict line; None if it was not measured, or cannot be judged."""
    outcome = ability_outcome(scores)
    if outcome is None or outcome == "not known":
        return None
    before, after = before_and_after(scores[QUESTIONS][ACCURACY]) or (0.0, 0.0)
    if outcome == "kept":
        return f"general ability kept: {before:.2f} -> {after:.2f}"
    fell = damages(scores)
    parts: list[str] = []
    for name, (before, after) in fell.items():
        split, _, metric = name.partition(".")
        if split == QUESTIONS and parts:
            continue  # one score of the questions is enough
        digits = ".1f" if split == TEXTS else ".2f"
        parts.append(
            f"{JUDGED[split][metric]} {'rose' if split == TEXTS else 'fell'} from {before:{digits}} to {after:{digits}}"
        )
    return ", ".join(parts)


def ability_note(scores: Scores) -> str | None:
    """A note if general ability cannot be judged, because the model knew too little before."""
    if ability_outcome(scores) != "not known":
        return None
    before, _ = before_and_after(scores[QUESTIONS][ACCURACY]) or (0.0, 0.0)
    return (
        f"general ability cannot be judged: the model knew too little before (it chose {before:.2f} of the answers right, "
        f"and guessing gives {CHANCE:.2f})"
    )


def language_in_words(scores: Scores) -> list[str]:
    """Sentences on answers that are no longer language, for each kind of fault. They quote nothing: reports are uploaded.

    Faults before unlearning are subtracted, on the same questions: they are not damage of the run. A fault of at most one
    answer in twenty is not named.
    """
    lines = []
    for split, kind, count, new, answers in _faults(scores):
        if new > FEW * answers:
            noun = f"{ANSWERS[split]}{'s' if answers > 1 else ''}"
            lines.append(f"{count} of {answers} {noun} {WORDS[kind][count > 1]}")
    return lines


def language_damaged(scores: Scores) -> bool:
    """Whether answers outside the forget rows are no longer language. One answer alone may be so by chance."""
    return any(new > max(1, FEW * answers) for split, _, _, new, answers in _faults(scores) if split != "forget")


def _faults(scores: Scores) -> Iterator[tuple[str, Fault, int, int, int]]:
    """Split, kind of fault, answers that have it after unlearning, how many more these are than before, and all answers."""
    for split in ANSWERS:
        both = scores.get(split, {}).get(GIBBERISH)
        if both is None or both.before is None or both.after is None or both.after.value is None:
            continue
        for kind in FAULTS:
            count, before = (int(score.details.get(kind, 0)) for score in (both.after, both.before))
            yield split, kind, count, count - before, both.after.n
