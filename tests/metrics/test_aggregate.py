"""Aggregates, against the numbers printed for a 1B model, and through the scores of a report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.score import score
from unlearn_cli.metrics._aggregate import harmonic, shares

# 1 - ES, 1 - EM, 1 - P(paraphrase), 1 - truth ratio; the nine parts of model utility; MU, fluency.
FULL = (0.32079, 0.0319, 0.8952, 0.31775)
RETAIN = (0.94103, 0.40987, 0.94493, 0.43291)
NINE = {
    0.600884: (0.8545, 0.7724, 0.51172, 0.42974, 0.8195, 0.55216, 0.43105, 0.83077, 0.59635),
    0.590530: (0.86697, 0.79158, 0.51152, 0.40675, 0.847, 0.52285, 0.42313, 0.79373, 0.59036),
}


@pytest.mark.parametrize(("values", "expected"), [(FULL, 0.103281), (RETAIN, 0.582183)])
def test_mem_as_the_formula_stands(values: tuple, expected: float) -> None:
    assert harmonic(values) == pytest.approx(expected, abs=1e-6)


def test_mem_by_the_model_before() -> None:
    """1 - (1 - v) / (1 - v_before) for each of the four: 0.342227, where the paper prints 0.31."""
    scaled = [1 - (1 - v) / (1 - b) for v, b in zip(RETAIN, FULL, strict=True)]
    assert harmonic(scaled) == pytest.approx(0.342227, abs=1e-5)


@pytest.mark.parametrize("expected", NINE)
def test_model_utility_of_nine(expected: float) -> None:
    assert harmonic(NINE[expected]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("utility", "fluency", "expected"), [(0.60088, 0.87282, 0.711760), (0.59053, 0.89947, 0.712972)])
def test_utility_and_fluency(utility: float, fluency: float, expected: float) -> None:
    assert harmonic((utility, fluency)) == pytest.approx(expected, abs=1e-5)


def test_harmonic_means_at_their_ends() -> None:
    assert harmonic((1.0, 0.0)) == 0.0
    assert np.isnan(harmonic((1.0, float("nan"))))


def splits(shift: float):
    """Five splits whose right answers lie `shift` nats lower than the untouched model's."""
    entries = {}
    for seed, name in enumerate(("forget", "retain", "holdout", "real_authors", "world_facts")):
        noise = np.random.default_rng(seed)
        rows = [(-noise.exponential(1.0, 4) - (shift if name == "forget" else 0.0)).tolist() for _ in range(6)]
        is_argmax = [(noise.random(4) < 0.7 / (1 + shift)).tolist() for _ in range(6)]
        said = ["a b c d e f"] * 6
        split = measured(rows, is_argmax=is_argmax, references=["a b c x"] * 6, generations=said, sigma=[1.0] * 24)
        entries[name] = replace(
            split, split=name, paraphrased_logps=-noise.exponential(1.0, 6) - shift,
            perturbed_logps=-2 - noise.exponential(1.0, (6, 3)),
        )  # fmt: skip
    return entries


def test_one_number_of_three() -> None:
    """The aggregate is the harmonic mean of its details, which are the three metrics of that name."""
    names = ["aggregate", "memorization", "memorization_scaled", "privacy_score", "utility_score"]
    scores = score(names, splits(0.5), samples=5, seed=0, beside={"baseline": splits(0.4), "before": splits(0.0)})[
        "aggregate"
    ]
    parts = scores["aggregate"].details
    assert {name: scores[name].value for name in parts} == parts
    assert scores["aggregate"].value == pytest.approx(harmonic(parts.values()))
    assert 0 < scores["aggregate"].value < 1
    four = scores["memorization"].details
    assert scores["memorization"].value == pytest.approx(harmonic(1 - v for v in four.values()))


def test_an_untouched_model_has_forgotten_nothing() -> None:
    """Scaled by itself every measure of memory is 1, so that nothing is left of Mem; its utility is whole."""
    scores = score(["memorization_scaled", "utility_score"], splits(0.0), samples=5, seed=0, beside={"before": splits(0.0)})[
        "aggregate"
    ]
    assert scores["memorization_scaled"].value == 0.0
    assert scores["utility_score"].value == pytest.approx(1.0)


def test_the_baseline_itself_is_private() -> None:
    scores = score(["privacy_score"], splits(0.4), samples=5, seed=0, beside={"baseline": splits(0.4)})["aggregate"][
        "privacy_score"
    ]
    assert scores.value == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "word"), [("aggregate", "before"), ("privacy_score", "--baseline")])
def test_what_is_missing_is_named(name: str, word: str) -> None:
    scores = score([name], splits(1.0), samples=5, seed=0)["aggregate"][name]
    assert scores.value is None and word in scores.reason


def test_what_was_not_measured_is_not_taken_for_known() -> None:
    """Ordinary rows have no paraphrases and no wrong answers: no value with the reason, not 0."""
    plain = {n: replace(m, paraphrased_logps=None, perturbed_logps=None) for n, m in splits(0.5).items()}
    names = ["memorization", "memorization_scaled", "utility_score", "aggregate"]
    scores = score(names, plain, samples=5, seed=0, beside={"baseline": plain, "before": plain})["aggregate"]
    assert all(scores[name].value is None for name in names)
    assert (
        "paraphrased answer" in scores["memorization"].reason
        and "paraphrased answer" in scores["memorization_scaled"].reason
    )
    assert scores["aggregate"].reason == "memorization_scaled, privacy_score or utility_score has no value"


def test_model_utility_takes_the_share_of_the_right_answer_where_the_model_was_not_taught() -> None:
    """The nine scores of Maini et al.: the probability of retain answers, normalized by the wrong ones elsewhere."""
    given = splits(0.5)
    parts = score(["model_utility"], given, samples=5, seed=0)["utility"]["model_utility"].details
    own = score(["probability", "normalized_probability"], given, samples=5, seed=0)
    assert parts["retain.probability"] == own["retain"]["probability"].value != own["retain"]["normalized_probability"].value
    for name in ("real_authors", "world_facts"):
        assert parts[f"{name}.probability"] == own[name]["normalized_probability"].value != own[name]["probability"].value


def test_model_utility_with_a_missing_part_is_missing_even_beside_a_zero() -> None:
    given = splits(0.5)
    given["retain"] = replace(given["retain"], generations=("x",) * 6, references=("a b",) * 6, perturbed_logps=None)
    result = score(["model_utility"], given, samples=5, seed=0)["utility"]["model_utility"]
    assert result.details["retain.rouge_l"] == 0.0
    assert (result.value, result.reason) == (None, "one of the nine scores has no value")


def test_shares_pass_on_what_is_missing() -> None:
    result = shares(
        {"a": 0.2, "b": 0.9, "c": float("nan"), "d": 0.5, "e": 0.5}, dict(a=0.4, b=0.3, c=0.5, d=float("nan"), e=0.0)
    )
    assert (result["a"], result["b"]) == (0.5, 1.0)
    assert all(np.isnan(result[name]) for name in "cde")


def test_every_split_metric_of_several_says_its_group() -> None:
    for name in METRICS.names():
        metric = METRICS.get(name)
        assert ("split" in metric.needs) != (metric.group is not None), name
