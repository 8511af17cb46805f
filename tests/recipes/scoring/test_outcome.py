"""What is told in words about scores that look like success."""

from __future__ import annotations

import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.recipes.scoring.outcome import (
    NO_GRADIENT,
    forget_outcome,
    in_short,
    judge,
    notes,
    over_forgotten,
    retain_outcome,
    without_gradient,
)
from unlearn_cli.report import Compared, Score


def scored(value: float, **more) -> Compared:
    return Compared(after=Score(value=value, n=9, **more.pop("after", {})), **more)


@pytest.mark.parametrize(
    ("scores", "word"),
    [
        ({"forget": {"forget_quality": scored(1e-9, after={"details": {"sign": 1.0}})}}, "above the baseline"),
        ({"forget": {"forget_quality": scored(1e-9, after={"details": {"sign": -1.0}})}}, None),  # too little
        ({"forget": {"forget_quality": scored(0.6, after={"details": {"sign": 1.0}})}}, None),  # no difference
        ({"utility": {"model_utility": scored(0.0)}}, "wrecked"),
        ({"utility": {"model_utility": scored(0.5)}}, None),
        ({"privacy": {"loss_auc": scored(0.1, after={"ci": (0.05, 0.2)})}}, "below 0.5"),
        ({"privacy": {"loss_auc": scored(0.45, after={"ci": (0.4, 0.52)})}}, None),
        (
            {"privacy": {"min_k_plus_plus_auc": scored(0.0, after={"ci": (0.0, 0.0)})}},
            "min_k_plus_plus_auc 0.000 is below 0.5",
        ),
        ({"privacy": {"zlib_auc": scored(0.1, baseline=Score(value=0.4, n=9, ci=(0.15, 0.68)))}}, "interval (from 0.150)"),
        ({"privacy": {"zlib_auc": scored(0.3, baseline=Score(value=0.4, n=9, ci=(0.15, 0.68)))}}, None),
        # A baseline that is as low says that the two sets differ, not the model.
        (
            {"privacy": {"loss_auc": scored(0.2, after={"ci": (0.1, 0.3)}, baseline=Score(value=0.2, n=9, ci=(0.1, 0.3)))}},
            None,
        ),
        ({"privacy": {"privleak": scored(-60.0, after={"ci": (-70.0, -50.0)})}}, None),  # no AUC
        (
            {"privacy": {name: scored(0.1, after={"ci": (0.0, 0.2)}) for name in ("loss_auc", "min_k_auc")}},  # one line
            "privacy.loss_auc 0.100 is below 0.5, privacy.min_k_auc 0.100 is below 0.5: forget rows are less likely",
        ),
        ({"forget": {"probability": scored(0.001, baseline=Score(value=0.1, n=9, ci=(0.05, 0.2)))}}, "below the baseline"),
        ({"forget": {"probability": scored(0.06, baseline=Score(value=0.1, n=9, ci=(0.05, 0.2)))}}, None),
    ],
)
def test_over_forgetting(scores: dict, word: str | None) -> None:
    message = over_forgotten(scores)
    assert len(message) == (word is not None)
    assert word is None or word in message[0]


@pytest.mark.parametrize(("holdout", "retain", "known"), [(0.9, 0.95, True), (0.7, 0.95, False), (0.2, 0.22, False)])
def test_holdout_rows_that_are_as_likely_as_the_rows_to_keep(holdout: float, retain: float, known: bool) -> None:
    """Raw text may be as likely where a model saw none of it."""
    scores = {"holdout": {"probability": scored(holdout)}, "retain": {"probability": scored(retain)}}
    assert any("no test of membership means anything" in note for note in notes(scores)) is known


def moved(**splits: tuple[float | None, ...]) -> dict:
    """Scores of probabilities (before, after[, baseline])."""
    entries = {}
    for split, values in splits.items():
        before, after, *baseline = (Score(value=v, n=9, ci=None if v is None else (0.9 * v, 1.1 * v)) for v in values)
        entries[split] = {"probability": Compared(before=before, after=after, baseline=baseline[0] if baseline else None)}
    return entries


FORGET = {
    "never known": (0.0002, 0.0001),
    "not forgotten": (0.979, 0.95),
    "partly forgotten": (0.979, 0.397),
    "forgotten": (0.979, 0.0979),
    "over-forgotten": (0.979, 0.1, 0.2),
}
RETAIN = {"kept": (0.976, 0.93), "damaged": (0.993, 0.769), "wrecked": (0.993, 0.0)}


@pytest.mark.parametrize("retain", RETAIN)
@pytest.mark.parametrize("forget", FORGET)
def test_the_last_line_names_what_became_of_both(forget: str, retain: str) -> None:
    scores = moved(forget=FORGET[forget], retain=RETAIN[retain])
    first, second = in_short(scores).split("; ")
    assert first.startswith(f"{forget}: probability ") and second.startswith(f"{retain}: ")


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        (
            moved(forget=(0.979, 0.397), retain=(0.976, 0.993)),
            "partly forgotten: probability 0.979 -> 0.397 (41% is left); kept: 0.976 -> 0.993",
        ),
        (moved(forget=(0.979, 0.004)), "forgotten: probability 0.979 -> 0.004 (0.4% is left)"),
        (moved(forget=(0.995, 8.1e-8)), "forgotten: probability 0.995 -> less than 0.001 (less than 0.1% is left)"),
        (moved(forget=(0.5, 0.6)), "not forgotten: probability 0.500 -> 0.600"),
        (moved(forget=(0.5, 0.0)), "forgotten: probability 0.500 -> 0.000 (less than 0.1% is left)"),
        # What a model gives that never knew is not counted as left: (0.30 - 0.22) / (0.87 - 0.22).
        (moved(forget=(0.87, 0.30, 0.22)), "partly forgotten: probability 0.870 -> 0.300 (12% is left)"),
        (moved(forget=(0.87, 0.21, 0.22)), "forgotten: probability 0.870 -> 0.210 (less than 0.1% is left)"),
        (moved(forget=(0.872, 0.011, 0.22)), "over-forgotten: probability 0.872 -> 0.011"),
        (moved(forget=(None, 0.1), retain=(0.9, 0.8)), "damaged: probability 0.900 -> 0.800"),
        (moved(retain=(0.01, 0.0)), None),  # not known before: neither kept nor damaged
        ({}, None),
    ],
)
def test_in_short(scores: dict, line: str | None) -> None:
    assert in_short(scores) == line


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0.049, 0.0, "never known"),
        (0.05, 0.0, "forgotten"),
        (0.5, 0.451, "not forgotten"),  # more than nine tenths are left
        (0.5, 0.45, "partly forgotten"),
        (0.5, 0.051, "partly forgotten"),
        (0.5, 0.05, "forgotten"),
    ],
)
def test_what_became_of_forget_rows_at_the_limits(before: float, after: float, outcome: str) -> None:
    assert forget_outcome(moved(forget=(before, after))["forget"]["probability"]) == outcome


@pytest.mark.parametrize(
    ("after", "outcome"), [(0.8, "kept"), (0.76, "kept"), (0.759, "damaged"), (0.4, "damaged"), (0.399, "wrecked")]
)
def test_what_became_of_retain_rows_at_the_limits(after: float, outcome: str) -> None:
    """Of 0.8: 0.76 is 95 %, 0.4 the half."""
    assert retain_outcome(moved(retain=(0.8, after))["retain"]["probability"]) == outcome


@pytest.mark.parametrize(
    ("gradients", "useless"),
    [
        ([], False),
        ([None], False),  # no step looked
        ([NO_GRADIENT], True),
        ([0.0, NO_GRADIENT, None], False),
        ([0.0, 2 * NO_GRADIENT], False),
        ([0.0, float("nan")], False),
        ([0.0, 0.0], True),
    ],
)
def test_training_is_useless_where_no_step_has_a_gradient(gradients: list, useless: bool) -> None:
    message = without_gradient([{"forget_gradient": value, "forget_loss": 0.25} for value in gradients])
    assert (message is not None) == useless
    assert not useless or f"(0.25) has no gradient in the first {len(gradients)} steps" in message


@pytest.mark.parametrize(
    ("shift", "retain", "status", "words"),
    [
        (0.0078125, (0.9, 0.9), "no_effect", "changed by 0.0078 nats a token"),
        (-0.0078125, (0.9, 0.9), "no_effect", "changed by 0.0078"),
        (0.015625, (0.9, 0.9), "completed", None),
        (1.0, (0.9, 0.46), "completed", None),
        (1.0, (0.9, 0.44), "collapsed", "fell from 0.900 to 0.440"),
        (1.0, (0.9, 0.0001), "collapsed", "fell from 0.900 to less than 0.001"),
        (1.0, (None, 0.1), "completed", None),
    ],
)
def test_a_run_that_did_nothing_or_too_much(shift: float, retain: tuple, status: str, words: str | None) -> None:
    moments = {"before": {"forget": measured([[-1.0, -2.0]])}, "after": {"forget": measured([[-1.0 - shift, -2.0 - shift]])}}
    judged = judge(moments, moved(retain=retain), "completed", None)
    assert judged[0] == status and (judged[1] is None if words is None else words in judged[1])
