"""Membership inference: scores, ranks, and what the report makes of them."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.score import score
from unlearn_cli.metrics._ranking import auc, true_positives

NAMES = ("loss_auc", "zlib_auc", "min_k_auc", "min_k_plus_plus_auc")


def split(name: str, rows: list[list[float]], **fields):
    return replace(measured(rows, **fields), split=name)


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [([1.0, 2.0], [3.0, 4.0], 1.0), ([3.0, 4.0], [1.0, 2.0], 0.0), ([1.0, 2.0], [1.0, 2.0], 0.5), ([1.0, 3.0], [2.0], 0.5)],
)
def test_auc_counts_pairs(members: list[float], others: list[float], expected: float) -> None:
    """P(other > member) + half the ties."""
    assert auc(np.array(members), np.array(others)) == expected


def test_auc_against_all_pairs() -> None:
    noise = np.random.default_rng(0)
    a, b = noise.integers(0, 9, 40).astype(float), noise.integers(2, 12, 30).astype(float)
    by_hand = ((b[None] > a[:, None]) + 0.5 * (b[None] == a[:, None])).mean()
    assert auc(a, b) == pytest.approx(by_hand)


def test_true_positives() -> None:
    """Others 1 to 100: at 5 % the threshold is the sixth lowest, 6; two of four members lie below it."""
    others = np.arange(1.0, 101.0)
    assert true_positives(np.array([0.0, 5.5, 6.0, 50.0]), others, 0.05) == 0.5


def test_rows_without_a_score_are_in_no_auc() -> None:
    """Two members below one other, and a row of nothing but its end on each side; nothing on a side, no value."""
    forget, holdout = split("forget", [[-1.0, -9.0], [-9.0]]), split("holdout", [[-2.0, -9.0], [-9.0]])
    empty = split("holdout", [[-9.0]])
    given = {"forget": split("forget", [[-1.0, -9.0]]), "holdout": split("holdout", [[-1.0, -9.0]])}
    privleak = METRICS.get("privleak").function
    assert privleak(forget, holdout, given) == pytest.approx(-100.0)  # (0 - 0.5) / 0.5
    assert np.isnan(privleak(forget, empty, given))


def test_a_token_without_a_value_takes_its_row_out_of_min_k() -> None:
    rows = split("forget", [[-1.0, float("nan"), -3.0, -9.0], [-2.0, -9.0]])
    values, _ = METRICS.get("min_k_auc").function(rows, rows)
    assert np.isnan(values[0]) and values[1] == 2.0


def test_loss() -> None:
    """Mean losses 1 and 2 of the forget row and the holdout row."""
    forget, holdout = METRICS.get("loss_auc").function(split("forget", [[-1.0, -1.0]]), split("holdout", [[-2.0]]))
    assert (forget.tolist(), holdout.tolist()) == ([1.0], [2.0])


def test_zlib_divides_by_the_compressed_answer() -> None:
    gold = "abcabcabcabc"
    values = METRICS.get("zlib_auc").function(split("forget", [[-3.0]], references=[gold]), split("holdout", [[-1.0]]))
    assert values[0][0] == pytest.approx(3.0 / len(zlib.compress(gold.encode())))


def test_min_k_takes_the_lowest_two_fifths_without_the_end() -> None:
    """Five tokens and an end: floor(0.4 * 5) = 2 lowest, (4 + 3) / 2; a single token counts itself; none, no value."""
    rows = split("forget", [[-1.0, -4.0, -2.0, -3.0, -0.5, -9.0], [-2.0, -9.0], [-9.0]])
    values, _ = METRICS.get("min_k_auc").function(rows, rows)
    assert values[:2].tolist() == [3.5, 2.0]
    assert np.isnan(values[2])


def test_min_k_plus_plus_measures_against_what_was_expected() -> None:
    """z = (-4 + 2) / 2 = -1 and (-1 + 2) / 0.5 = 2: the lower of the two, negated; a sigma of 0 counts as 0.001."""
    rows = split("forget", [[-4.0, -1.0]], ends=[False], mu=[-2.0, -2.0], sigma=[2.0, 0.5])
    values, _ = METRICS.get("min_k_plus_plus_auc").function(rows, rows)
    assert values.tolist() == pytest.approx([1.0])
    certain = split("forget", [[-2.0]], ends=[False], mu=[-2.0], sigma=[0.0])
    assert METRICS.get("min_k_plus_plus_auc").function(certain, certain)[0].tolist() == [0.0]


def test_loss_beyond_the_baseline() -> None:
    """Losses 1 and 3 against 4 and 4 under the baseline: 3 nats less; on the holdout row 2 against 1.5, half a nat more."""
    given = {"forget": split("forget", [[-4.0], [-4.0]]), "holdout": split("holdout", [[-1.5]])}
    forget, holdout = METRICS.get("reference_auc").function(
        split("forget", [[-1.0], [-3.0]]), split("holdout", [[-2.0]]), given
    )
    assert (forget.tolist(), holdout.tolist()) == ([-3.0, -1.0], [0.5])


@pytest.mark.parametrize(("loss", "expected"), [(2.5, 1.0), (3.5, 0.5), (1.5, 0.5), (0.5, 0.0), (4.5, 0.0)])
def test_privacy_score_is_how_near_each_attack_is_to_the_baseline(loss: float, expected: float) -> None:
    """Holdout losses 1, 2, 3 and 4; a forget row of loss 2.5 has AUC 0.5, as under the baseline. 3.5: 0.25; 0.5: 1."""

    def both(value: float) -> dict:
        own = {"ends": [False], "sigma": [1.0]}
        others = [[-1.0], [-2.0], [-3.0], [-4.0]]
        return {
            "forget": split("forget", [[-value]], **own),
            "holdout": split("holdout", others, ends=[False] * 4, sigma=[1.0] * 4),
        }

    value, parts = METRICS.get("privacy_score").function(**both(loss), baseline=both(2.5))
    assert value == pytest.approx(expected) and list(parts.values()) == pytest.approx([expected] * 4)


def test_privacy_score_is_never_negative() -> None:
    """AUC 1 against 0.25: 1 - 0.75 / 0.25 = -2, which is 0."""
    low, high = ({"forget": split("forget", [[-x]], ends=[False], sigma=[1.0])} for x in (0.5, 3.5))
    holdout = split("holdout", [[-1.0], [-2.0], [-3.0], [-4.0]], ends=[False] * 4, sigma=[1.0] * 4)
    _, parts = METRICS.get("privacy_score").function(**low, holdout=holdout, baseline=high | {"holdout": holdout})
    assert set(parts.values()) == {0.0}


def rows(center: float, count: int = 40, seed: int = 0) -> list[list[float]]:
    noise = np.random.default_rng(seed)
    return [(-center - noise.random(6)).tolist() for _ in range(count)]


def test_scores_stand_under_privacy_with_an_interval_and_rates() -> None:
    both = {"forget": split("forget", rows(0.0)), "holdout": split("holdout", rows(3.0, seed=1))}
    scores = score(NAMES, both, samples=50, seed=0)
    assert set(scores["privacy"]) == set(NAMES)
    loss = scores["privacy"]["loss_auc"]
    assert (loss.value, loss.ci, loss.n) == (1.0, (1.0, 1.0), 80)
    assert loss.details == {f"tpr_at_{rate}_percent_fpr": 1.0 for rate in ("0.1", "1", "5")}
    assert "privacy" not in score(NAMES, {"forget": both["forget"]}, samples=50, seed=0)


def test_privleak() -> None:
    """Fully recognized, A = 0: -100 against a baseline at chance. The baseline itself: 0. Without one: no value, and why."""
    seen = {"forget": split("forget", rows(0.0)), "holdout": split("holdout", rows(3.0, seed=1))}
    never = {"forget": split("forget", rows(3.0, seed=2)), "holdout": split("holdout", rows(3.0, seed=1))}
    assert score(["privleak"], seen, samples=5, seed=0, beside={"baseline": never})["privacy"]["privleak"].value == -100.0
    assert score(["privleak"], never, samples=5, seed=0, beside={"baseline": never})["privacy"]["privleak"].value == 0.0
    alone = score(["privleak"], seen, samples=5, seed=0)["privacy"]["privleak"]
    assert alone.value is None
    assert "--baseline" in alone.reason
