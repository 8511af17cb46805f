"""Metrics on hand-made measurements, and on the published synthetic token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from unlearn_cli.contract import METRICS
from unlearn_cli.measured import Measured
from unlearn_cli.models.score import _read


def measured(
    rows: Sequence[Sequence[float]],
    *,
    hits: Sequence[Sequence[bool]] | None = None,
    ends: Sequence[bool] | None = None,
    golds: Sequence[str] | None = None,
    generations: Sequence[str | None] | None = None,
    mu: Sequence[float] | None = None,
    sigma: Sequence[float] | None = None,
) -> Measured:
    """Measurements of rows given as log-probabilities of their tokens."""
    n, count = len(rows), sum(map(len, rows))
    flat = [value for row in rows for value in row]
    return Measured(
        split="forget",
        ids=tuple(str(i) for i in range(n)),
        prompts=("?",) * n,
        golds=tuple(golds or ["gold"] * n),
        generations=tuple(generations or [None] * n),
        token_logps=np.array(flat, dtype=np.float32),
        hits=np.array([h for row in hits for h in row] if hits else [False] * count, dtype=bool),
        mu=np.array(mu or [0.0] * count, dtype=np.float32),
        sigma=np.array(sigma or [0.0] * count, dtype=np.float32),
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        ends=np.array(ends if ends is not None else [True] * n, dtype=bool),
        rows_in_split=n,
    )


def run(name: str, values: Measured) -> np.ndarray:
    return METRICS.get(name).function(values)


# The synthetic vectors: 12 positions over 11 words, logits 3 sin(0.7 (t + 1)(v + 1)); the first 4 ids are the question.
IDS = [1, 4, 7, 2, 9, 3, 3, 8, 6, 10, 10, 0]
START = 4


def synthetic(ids: Sequence[int]) -> Measured:
    """The row as a model's scoring pass reads it: the position before a token predicts it."""
    t, v = np.meshgrid(np.arange(12), np.arange(11), indexing="ij")
    logits = torch.from_numpy(3 * np.sin(0.7 * (t + 1) * (v + 1)))[START - 1 : -1]
    logps, hits, mu, sigma = (x.tolist() for x in _read(logits, torch.tensor(ids[START:])))
    return measured([logps], hits=[hits], mu=mu, sigma=sigma)


def test_synthetic_token_scores() -> None:
    row = synthetic(IDS)
    expected = [-3.041913, -0.981136, -6.610626, -3.450133, -0.815847, -2.160430, -1.302421]
    assert row.token_logps[:-1].tolist() == pytest.approx(expected, abs=1e-6)
    assert row.mu[0] == pytest.approx(-1.510279, abs=1e-6)
    assert row.sigma[0] ** 2 == pytest.approx(0.793730, abs=1e-6)


def test_synthetic_min_k_plus_plus() -> None:
    """-mean of the k lowest (log p - mu) / sigma over the 7 tokens; at k = 0.2 and 1.0 of them."""
    row = synthetic(IDS)
    normalised = np.sort(((row.token_logps - row.mu) / row.sigma)[row.body(0)])
    assert -normalised[0] == pytest.approx(7.176125, abs=1e-5)
    assert -normalised.mean() == pytest.approx(1.101198, abs=1e-5)


def test_synthetic_metrics() -> None:
    row = synthetic(IDS)
    assert run("nll", row)[0] == pytest.approx(2.446982, abs=1e-6)
    assert run("probability", row)[0] == pytest.approx(0.086554, abs=1e-6)
    assert run("perplexity", row) == pytest.approx(1 / 0.086554, rel=1e-5)
    assert run("exact_memorization", row)[0] == pytest.approx(4 / 7, abs=1e-6)
    assert run("extraction_strength", row)[0] == pytest.approx(3 / 7, abs=1e-6)


def test_synthetic_row_whose_last_token_is_wrong() -> None:
    """No prefix but the whole answer will do: 0 by the formula, where open-unlearning's code says 1/7."""
    ids = list(IDS)
    ids[10] = 0  # the last token before the one that ends the answer; the most probable one there is 10
    row = synthetic(ids)
    assert run("extraction_strength", row)[0] == 0.0
    assert run("exact_memorization", row)[0] == pytest.approx(3 / 7, abs=1e-6)


@pytest.mark.parametrize(
    ("hits", "strength", "memorised"),
    [
        ([True, True, True, True], 1.0, 1.0),
        ([False, True, True, True], 0.75, 0.75),
        ([True, True, False, True], 0.25, 0.75),
        ([True, True, True, False], 0.0, 0.75),
        ([False, False, False, False], 0.0, 0.0),
    ],
)
def test_hits(hits: list[bool], strength: float, memorised: float) -> None:
    """ES = 1 - k / 4 with k the place after the last miss; EM is the share of hits."""
    row = measured([[-1.0] * 4], hits=[hits], ends=[False])
    assert run("extraction_strength", row)[0] == strength
    assert run("exact_memorization", row)[0] == memorised


@pytest.mark.parametrize("name", ["extraction_strength", "exact_memorization"])
def test_the_ending_token_is_left_out(name: str) -> None:
    """Missed or not it changes nothing; a row that was cut off has none to leave out."""
    rows = [[-1.0] * 3, [-1.0] * 3, [-1.0] * 2]
    hits = [[True, True, False], [True, True, True], [True, True]]
    assert run(name, measured(rows, hits=hits, ends=[True, True, False])).tolist() == [1.0, 1.0, 1.0]
    assert run(name, measured(rows, hits=hits, ends=[False, True, False]))[0] < 1.0


@pytest.mark.parametrize("name", ["extraction_strength", "exact_memorization"])
def test_an_answer_of_only_an_ending_token_has_no_value(name: str) -> None:
    made = run(name, measured([[-1.0], [-1.0, -1.0]], hits=[[True], [True, True]]))
    assert np.isnan(made[0]) and made[1] == 1.0


def test_means_of_rows_of_unequal_lengths() -> None:
    """Rows (-1, -3) and (-4): NLL 2 and 4, probabilities e^-2 and e^-4, perplexity e^(8/3) over all three tokens."""
    rows = measured([[-1.0, -3.0], [-4.0]])
    assert run("nll", rows).tolist() == pytest.approx([2.0, 4.0])
    assert run("probability", rows).tolist() == pytest.approx([np.exp(-2), np.exp(-4)])
    assert run("perplexity", rows) == pytest.approx(np.exp(8 / 3))


def test_perplexity_beyond_floats_is_infinite() -> None:
    assert run("perplexity", measured([[-1e4]])) == float("inf")


@pytest.mark.parametrize(
    ("gold", "said", "recall"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 1.0),
        ("the cat sat on the mat", "The cats sat, on the mat!", 1.0),  # stems and case
        ("one two three four", "one three", 0.5),
        ("one two three four", "four three two one", 0.25),  # order matters
        ("one two", "a lot of other words and then one and only then two", 1.0),  # rambling does not
        ("one two", "", 0.0),
    ],
)
def test_rouge(gold: str, said: str, recall: float) -> None:
    rows = measured([[-1.0]], golds=[gold], generations=[said])
    assert run("rouge_l", rows)[0] == pytest.approx(recall)


@pytest.mark.parametrize(("gold", "said"), [("gold", None), ("Привет", "Привет"), ("…", "x")])
def test_rouge_has_no_value(gold: str, said: str | None) -> None:
    rows = measured([[-1.0]], golds=[gold], generations=[said])
    assert np.isnan(run("rouge_l", rows)[0])


OF_ONE_SPLIT = [name for name in METRICS.names() if METRICS.get(name).needs == ("split",)]


@pytest.mark.parametrize("name", OF_ONE_SPLIT)
def test_every_metric_keeps_to_its_range(name: str) -> None:
    """Random rows: one value for each, or one number, within the declared bounds."""
    metric = METRICS.get(name)
    noise = np.random.default_rng(0)
    lengths = [1, 2, 5, 9]
    rows = [(-noise.exponential(3, n)).tolist() for n in lengths]
    hits = [(noise.random(n) < 0.5).tolist() for n in lengths]
    said = ["a b c d e", "b", "c d e c d e c d", ""]
    split = measured(rows, hits=hits, golds=["a b"] * 4, generations=said)
    wrong = np.where(noise.random((4, 3)) < 0.2, np.nan, -noise.exponential(3, (4, 3)))
    split = replace(split, paraphrased_logps=-noise.exponential(3, 4), perturbed_logps=wrong)
    values = metric.function(split)
    assert isinstance(values, float) or values.shape == (4,)
    low, high = metric.range
    known = np.atleast_1d(values)[~np.isnan(np.atleast_1d(values))]
    assert len(known) and (known >= low).all() and (known <= high).all()


@pytest.mark.parametrize(("said", "expected"), [("a b c d e", 0.0), ("a b c d a b c d", 0.2), ("no no no no no", 0.5)])
def test_repetition(said: str, expected: float) -> None:
    """Runs of four words: 2 of 2 distinct; 4 of 5; 1 of 2."""
    assert run("repetition", measured([[-1.0]], generations=[said]))[0] == pytest.approx(expected)


@pytest.mark.parametrize("said", [None, "", "one two three"])
def test_too_few_words_to_repeat(said: str | None) -> None:
    assert np.isnan(run("repetition", measured([[-1.0]], generations=[said]))[0])


def test_entropy_of_the_published_toy() -> None:
    """H_2 = 2.918296 and H_3 = 2.913977: a third of one and two of the other, 2.915417."""
    said = "the cat sat on the mat and the cat sat on the rug"
    assert run("ngram_entropy", measured([[-1.0]], generations=[said]))[0] == pytest.approx(2.915417, abs=1e-6)


def test_empty_answers_are_counted() -> None:
    values = run("empty_answers", measured([[-1.0]] * 3, generations=["", " \n", "word"]))
    assert values.tolist() == [1.0, 1.0, 0.0]
