"""What is told in words about scores that look like success."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearn_cli.recipes.verdict import in_short, next_commands, over_forgotten
from unlearn_cli.report import Compared, Score


def scored(value: float, **more) -> Compared:
    return Compared(after=Score(value=value, n=9, **more.pop("after", {})), **more)


@pytest.mark.parametrize(
    ("scores", "word"),
    [
        ({"forget": {"forget_quality": scored(1e-9, after={"details": {"sign": 1.0}})}}, "beyond the baseline"),
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
            "privacy.loss_auc 0.100 is below 0.5, privacy.min_k_auc 0.100 is below 0.5: forget rows stand out",
        ),
        ({"forget": {"probability": scored(0.001, baseline=Score(value=0.1, n=9, ci=(0.05, 0.2)))}}, "below the baseline"),
        ({"forget": {"probability": scored(0.06, baseline=Score(value=0.1, n=9, ci=(0.05, 0.2)))}}, None),
    ],
)
def test_over_forgetting(scores: dict, word: str | None) -> None:
    told = over_forgotten(scores)
    assert len(told) == (word is not None)
    assert word is None or word in told[0]


def moved(**splits: tuple[float | None, float | None]) -> dict:
    return {
        split: {"probability": Compared(before=Score(value=before, n=9), after=Score(value=after, n=9))}
        for split, (before, after) in splits.items()
    }


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (
            moved(forget=(0.979, 0.397), retain=(0.976, 0.993)),
            "forgot: probability 0.979 -> 0.397 (41% is left); kept: 0.976 -> 0.993",
        ),
        (
            moved(forget=(0.979, 0.004), retain=(0.976, 0.2)),
            "forgot: probability 0.979 -> 0.004 (0.41% is left); kept: 0.976 -> 0.200",
        ),
        (moved(forget=(0.995, 8.1e-8)), "forgot: probability 0.995 -> 0.000 (less than 0.1% is left)"),
        (moved(forget=(0.5, 0.6)), "not forgotten: probability 0.500 -> 0.600"),
        (moved(forget=(0.5, 0.0)), "forgot: probability 0.500 -> 0.000"),
        (moved(forget=(None, 0.1), retain=(0.9, 0.8)), "kept: probability 0.900 -> 0.800"),
        ({}, None),
    ],
)
def test_in_short(scores: dict, told: str | None) -> None:
    assert in_short(scores) == told


def test_next_commands_can_be_pasted() -> None:
    assert next_commands(Path("my runs/x")) == [
        "unlearn chat 'my runs/x'",
        "unlearn relearn-attack 'my runs/x' --baseline MODEL",
    ]
