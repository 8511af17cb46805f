"""Several baselines: the values under each, the model under test against each, and what is said of them."""

from __future__ import annotations

import math

import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.config import EvaluateConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.scoring.baselines import add_baselines, spread
from unlearn_cli.recipes.scoring.scores import compared

METRICS = ("probability", "nearer")
CONFIG = EvaluateConfig(model="m", bootstrap_samples=10)


def of(probability: float) -> dict:
    """Eight answers of one token, all with this probability but for a little."""
    return {"forget": measured([[math.log(probability) + 1e-3 * row] for row in range(8)])}


def scored(after: float, first: float, *others: float):
    """Scores of a model that gave 0.9 before."""
    moments = {"before": of(0.9), "after": of(after), "baseline": of(first)}
    scores = compared(moments, CONFIG, METRICS)
    add_baselines(scores, moments, {f"seed{n}": of(value) for n, value in enumerate(others, 2)}, CONFIG, METRICS)
    return scores


def test_worked_example() -> None:
    """0.2 is nearer to 0.1 and to 0.3 than to 0.9, in logs: all 8 rows, so p = 2^-8 for each."""
    both = scored(0.2, 0.1, 0.3)["forget"]
    assert both["probability"].baselines == pytest.approx([0.3], rel=0.01) and both["probability"].against == []
    assert both["nearer"].after.value == pytest.approx(2**-8) and both["nearer"].against == pytest.approx([2**-8])
    assert both["nearer"].baselines == []


def test_nearer_to_one_and_not_to_the_other() -> None:
    """0.6 is nearer to 0.9 than to 0.1 (a factor of 1.5 against 6), and nearer to 0.55 than to 0.9."""
    both = scored(0.6, 0.1, 0.55)["forget"]
    assert both["nearer"].after.value == pytest.approx(1.0) and both["nearer"].against == pytest.approx([2**-8])
    said = list(spread({"forget": both}))[-1]
    assert said == "nearer to the baseline than to the model before (p < 0.05): for 1 of 2 baselines; the largest p is 1"


@pytest.mark.parametrize(
    ("after", "where"), [(0.05, "below all of them"), (0.2, "between them"), (0.5, "above all of them")]
)
def test_where_the_model_is_among_them(after: float, where: str) -> None:
    (said, _) = spread(scored(after, 0.1, 0.3, 0.25))
    assert said == f"forget.probability under 3 baselines: 0.1 to 0.301; this model, {1.0035 * after:.3g}, is {where}"


def test_a_baseline_that_knows_the_rows_is_named() -> None:
    with pytest.raises(UnlearnError, match="--baseline seed3 knows the forget rows"):
        scored(0.2, 0.1, 0.3, 0.89)
