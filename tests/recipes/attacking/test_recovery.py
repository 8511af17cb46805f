"""The verdict on an attack in words."""

from __future__ import annotations

import pytest

from unlearn_cli.attack_report import RecoveryReport
from unlearn_cli.contract import ATTACKS
from unlearn_cli.recipes.attacking.recovery import verdict


def result(at: float | str, **more: object) -> RecoveryReport:
    base = {"start": 0.05, "max": 0.34, "ci": (0.2, 0.45), "at": at, "parameters": {}, "gain": 0.03, "points": []}
    return RecoveryReport(**{**base, **more})


@pytest.mark.parametrize(
    ("attack", "at", "where"),
    [
        ("quantize", 4, "in 4 bits"),
        ("quantize", "nf4", "in nf4;"),
        ("relearn", 15, "within 15 steps"),
        ("prompts", "prefix", "with the wording 'prefix'"),
        ("few-shot", 4, "with 4 shots"),
        ("sample", 8, "in the best of 8 draws"),
        ("prune", 50, "at 50 percent"),
        ("ablate", 25, "at 25 percent of the depth"),
        ("logit-lens", 3, "at block 3"),
    ],
)
def test_where_it_came_back(attack: str, at: float | str, where: str) -> None:
    text = verdict(ATTACKS.get(attack), result(at), upper_bound=False)
    assert text.startswith(f"{attack}: 34% (20% to 45%) of the original knowledge is there ") and where in text
    assert text.endswith("; 5% was never forgotten; the baseline gains 3%")


def test_what_was_forgotten_whole_is_not_mentioned() -> None:
    text = verdict(ATTACKS.get("quantize"), result(4, start=0.001), upper_bound=False)
    assert "never forgotten" not in text and text.endswith("; the baseline gains 3%")


def test_an_upper_bound_is_called_that() -> None:
    text = verdict(ATTACKS.get("relearn"), result(15, parameters={"learning_rate": 2e-3}), upper_bound=True)
    assert text == (
        "relearn: at most 34% (20% to 45%) of the original knowledge is there within 15 steps at learning rate 0.002, "
        "at most 5% before the attack; these are upper bounds, because no baseline was attacked in the same way"
    )
