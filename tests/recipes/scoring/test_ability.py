"""Damage outside of the rows, in words, by values worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unlearn_cli.config import EvaluateConfig
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring.ability import (
    ability_in_words,
    ability_note,
    ability_outcome,
    damages,
    language_damaged,
    language_in_words,
)
from unlearn_cli.recipes.scoring.outcome import in_short, judge
from unlearn_cli.recipes.scoring.scores import compared
from unlearn_cli.report import Change, Compared, Score, Scores

NOISE, FALL, RISE = (-0.1, 0.02), (-0.3, -0.02), (0.2, 0.9)


def scored(
    before: float, after: float, change: tuple[float, float] | None = NOISE, low: float = 0.1, **more: Any
) -> Compared:
    """A score with an interval of `low` below, and the interval of its change."""
    moments = (Score(value=value, n=80, ci=(value - low, value + low)) for value in (before, after))
    return Compared(
        before=next(moments), after=next(moments), change=change and Change(value=after - before, ci=change), **more
    )


def ability(accuracy: Compared, text: tuple[float, float] = (20.0, 20.0), change: tuple[float, float] = NOISE) -> Scores:
    """Scores of both splits."""
    nll = scored(float(np.log(text[0])), float(np.log(text[1])), change)
    return {"general": {"choice_accuracy": accuracy}, "general_text": {"perplexity": scored(*text, None), "nll": nll}}


@pytest.mark.parametrize(
    ("scores", "outcome", "words"),
    [
        (ability(scored(0.71, 0.58, FALL)), "damaged", "general ability fell from 0.71 to 0.58"),
        (ability(scored(0.71, 0.58, NOISE)), "kept", "general ability kept: 0.71 -> 0.58"),  # the interval holds 0
        (ability(scored(0.71, 0.69, (-0.03, -0.01))), "kept", "general ability kept: 0.71 -> 0.69"),  # 3 % of what there was
        (ability(scored(0.71, 0.80, (0.02, 0.2))), "kept", "general ability kept: 0.71 -> 0.80"),
        # Above guessing there was 0.46; half of it is left at 0.48.
        (ability(scored(0.71, 0.49, FALL)), "damaged", "general ability fell from 0.71 to 0.49"),
        (ability(scored(0.71, 0.47, FALL)), "wrecked", "general ability fell from 0.71 to 0.47"),
        (ability(scored(0.71, 0.71), (20.0, 30.0), RISE), "damaged", "perplexity of general text rose from 20.0 to 30.0"),
        (ability(scored(0.71, 0.71), (20.0, 20.9), RISE), "kept", "general ability kept: 0.71 -> 0.71"),  # less than 5 %
        (ability(scored(0.71, 0.71), (20.0, 200.0), RISE), "wrecked", "perplexity of general text rose from 20.0 to 200.0"),
        (
            ability(scored(0.71, 0.58, FALL), (20.0, 30.0), RISE),
            "damaged",
            "general ability fell from 0.71 to 0.58, perplexity of general text rose from 20.0 to 30.0",
        ),
        (ability(scored(0.33, 0.20, FALL)), "not known", None),  # its interval holds what guessing gives
        (
            ability(scored(0.27, 0.27), (20.0, 30.0), RISE),  # it guesses, and reads
            "damaged",
            "perplexity of general text rose from 20.0 to 30.0",
        ),
        (ability(scored(0.27, 0.27), (20.0, 300.0), RISE), "wrecked", "perplexity of general text rose from 20.0 to 300.0"),
        (ability(scored(0.27, 0.27), (20.0, 20.1), RISE), "not known", None),
        (ability(scored(0.27, 0.27), (5000.0, 90000.0), RISE), "not known", None),  # it never read such text
        ({}, None, None),
        (
            {"general": {"choice_accuracy": Compared(after=Score(value=0.7, n=80))}},
            None,
            None,
        ),  # nothing was measured before
    ],
)
def test_general_ability_in_words(scores: Scores, outcome: str | None, words: str | None) -> None:
    assert ability_outcome(scores) == outcome
    assert ability_in_words(scores) == words
    assert in_short(scores) == words


def test_a_model_that_guesses_is_not_said_to_have_kept_anything() -> None:
    note = ability_note(ability(scored(0.33, 0.33)))
    assert note is not None and "too little" in note and "0.33" in note and "0.25" in note
    assert ability_note(ability(scored(0.71, 0.1, FALL))) is None


def test_finer_scores_say_what_the_choices_do_not() -> None:
    scores = ability(scored(0.71, 0.70))
    scores["general"]["normalized_probability"] = scored(0.6, 0.5, FALL)
    scores["general"]["rouge_l"] = scored(0.6, 0.1, FALL)
    assert damages(scores) == {"general.normalized_probability": (0.6, 0.5), "general.rouge_l": (0.6, 0.1)}
    assert ability_in_words(scores) == "the share of the right answer to general questions fell from 0.60 to 0.50"


def test_a_collapse_is_a_status_and_damage_is_none() -> None:
    rows = SimpleNamespace(mean_logps=np.zeros(2)), SimpleNamespace(mean_logps=-np.ones(2))
    moments: Any = {"before": {"forget": rows[0]}, "after": {"forget": rows[1]}}
    assert judge(moments, ability(scored(0.71, 0.58, FALL)), "completed", None) == ("completed", None)
    status, message = judge(moments, ability(scored(0.71, 0.30, FALL)), "completed", None)
    assert status == "collapsed" and message is not None and "general ability fell from 0.71 to 0.30" in message


def said(before: dict[str, float], after: dict[str, float], answers: int = 20) -> Scores:
    """Scores of the forget answers' language."""
    moments = (Score(value=sum(kinds.values()) / answers, n=answers, details=kinds) for kinds in (before, after))
    return {"forget": {"gibberish": Compared(before=next(moments), after=next(moments))}}


@pytest.mark.parametrize(
    ("before", "after", "answers", "lines"),
    [
        ({}, {"repeated": 12}, 20, ["12 of 20 answers repeat themselves"]),
        ({}, {"empty": 20}, 20, ["20 of 20 answers are empty"]),
        ({}, {"broken": 2, "empty": 3}, 20, ["3 of 20 answers are empty", "2 of 20 answers are broken words"]),
        ({}, {"repeated": 1}, 20, []),  # one of twenty
        ({}, {"repeated": 1}, 1, ["1 of 1 answer repeats itself"]),
        ({"repeated": 12}, {"repeated": 12}, 20, []),  # it babbled already
        ({"repeated": 12}, {"repeated": 15}, 20, ["15 of 20 answers repeat themselves"]),
        ({"repeated": 12}, {"repeated": 2}, 20, []),
        ({}, {}, 20, []),
    ],
)
def test_faults_of_the_language_are_named_if_they_are_new(
    before: dict[str, float], after: dict[str, float], answers: int, lines: list[str]
) -> None:
    scores = said(before, after, answers)
    assert language_in_words(scores) == lines
    assert (in_short(scores) or "") == "; ".join(lines)


@pytest.mark.parametrize(
    ("split", "before", "after", "answers", "damaged"),
    [
        ("retain", {"repeated": 1}, {"repeated": 2}, 8, False),  # one answer of a few, by chance
        ("retain", {"repeated": 1}, {"repeated": 3}, 8, True),
        ("general", {}, {"empty": 2}, 20, True),
        ("general", {}, {"broken": 3}, 60, False),  # one in twenty
        ("general", {}, {"broken": 4}, 60, True),
        ("forget", {}, {"repeated": 20}, 20, False),
    ],
)
def test_one_answer_that_is_no_language_is_no_damage(
    split: str, before: dict[str, float], after: dict[str, float], answers: int, damaged: bool
) -> None:
    assert language_damaged({split: said(before, after, answers)["forget"]}) == damaged


def measured(split: str, logps: list[float], wrong: list[float], texts: list[str | None]) -> Measured:
    """Rows of one token each."""
    n = len(logps)
    return Measured(
        split=split, ids=tuple(map(str, range(n))), prompts=("What is the capital of France?",) * n,
        references=("Paris.",) * n, generations=tuple(texts), token_logps=np.array(logps, dtype=np.float32),
        is_argmax=np.zeros(n, dtype=bool), mu=np.zeros(n, dtype=np.float32), sigma=np.ones(n, dtype=np.float32),
        offsets=np.arange(n + 1), ends=np.zeros(n, dtype=bool), rows_in_split=n,
        perturbed_logps=np.array(wrong)[:, None], paraphrased_logps=np.full(n, np.nan),
    )  # fmt: skip


def test_scores_of_measurements_hold_the_paired_change() -> None:
    """Ten of twelve questions are right before and four after: 6/12 less, and no resample of rows has no fall."""
    before = measured("general", [-1.0] * 12, [-2.0] * 10 + [-0.5] * 2, ["Paris."] * 12)
    after = measured("general", [-1.0] * 12, [-2.0] * 4 + [-0.5] * 8, ["capital()."] * 12)
    forget = replace(before, split="forget")
    moments = {"before": {"general": before, "forget": forget}, "after": {"general": after, "forget": forget}}
    scores = compared(moments, EvaluateConfig(), ("choice_accuracy", "gibberish"))
    change = scores["general"]["choice_accuracy"].change
    assert change is not None and change.value == pytest.approx(-0.5) and change.ci is not None and change.ci[1] < 0
    assert scores["forget"]["choice_accuracy"].change is None
    assert language_in_words(scores) == ["12 of 12 general answers are broken words"]
    assert ability_in_words(scores) == "general ability fell from 0.83 to 0.33"
