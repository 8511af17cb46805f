"""What is told in words about scores that look like success."""

from __future__ import annotations

import pytest

from unlearn_cli.recipes.verdict import over_forgotten
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
        ({"forget": {"probability": scored(0.001, baseline=Score(value=0.1, n=9, ci=(0.05, 0.2)))}}, "below the baseline"),
        ({"forget": {"probability": scored(0.06, baseline=Score(value=0.1, n=9, ci=(0.05, 0.2)))}}, None),
    ],
)
def test_over_forgetting(scores: dict, word: str | None) -> None:
    told = over_forgotten(scores)
    assert len(told) == (word is not None)
    assert word is None or word in told[0]
