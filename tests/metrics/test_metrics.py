"""Metrics on hand-made measurements, and on the published synthetic token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from unlearn_cli.contract import METRICS
from unlearn_cli.data.shipped_texts import refusals
from unlearn_cli.evaluation.score import score_split
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._bounds import leak_bound
from unlearn_cli.metrics.sampled_rouge_l import powers
from unlearn_cli.models.score import read_tokens as _read


def measured(
    rows: Sequence[Sequence[float]],
    *,
    is_argmax: Sequence[Sequence[bool]] | None = None,
    ends: Sequence[bool] | None = None,
    references: Sequence[str] | None = None,
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
        references=tuple(references or ["gold"] * n),
        generations=tuple(generations or [None] * n),
        token_logps=np.array(flat, dtype=np.float32),
        is_argmax=np.array([h for row in is_argmax for h in row] if is_argmax else [False] * count, dtype=bool),
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
    logps, is_argmax, mu, sigma = (x.tolist() for x in _read(logits, torch.tensor(ids[START:])))
    return measured([logps], is_argmax=[is_argmax], mu=mu, sigma=sigma)


def test_synthetic_token_scores() -> None:
    row = synthetic(IDS)
    expected = [-3.041913, -0.981136, -6.610626, -3.450133, -0.815847, -2.160430, -1.302421]
    assert row.token_logps[:-1].tolist() == pytest.approx(expected, abs=1e-6)
    assert row.mu[0] == pytest.approx(-1.510279, abs=1e-6)
    assert row.sigma[0] ** 2 == pytest.approx(0.793730, abs=1e-6)


def test_synthetic_min_k_plus_plus() -> None:
    """-mean of the k lowest (log p - mu) / sigma over the 7 tokens; at k = 0.2 and 1.0 of them."""
    row = synthetic(IDS)
    normalized = np.sort(((row.token_logps - row.mu) / row.sigma)[row.body(0)])
    assert -normalized[0] == pytest.approx(7.176125, abs=1e-5)
    assert -normalized.mean() == pytest.approx(1.101198, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("min_k_auc", 0.2, 6.610626), ("min_k_auc", 0.4, 5.030380), ("min_k_auc", 0.6, 3.815776),
        ("min_k_auc", 1.0, 2.623215),
        ("min_k_plus_plus_auc", 0.2, 7.176125), ("min_k_plus_plus_auc", 0.4, 4.750061),
        ("min_k_plus_plus_auc", 0.6, 2.644564), ("min_k_plus_plus_auc", 1.0, 1.101198),
    ],
)  # fmt: skip
def test_synthetic_membership_scores(name: str, k: float, expected: float) -> None:
    row = synthetic(IDS)
    values, _ = METRICS.get(name).function(row, row, k=k)
    assert values[0] == pytest.approx(expected, abs=2e-5 if "plus" in name else 1e-6)


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
    ("is_argmax", "strength", "memorized"),
    [
        ([True, True, True, True], 1.0, 1.0),
        ([False, True, True, True], 0.75, 0.75),
        ([True, True, False, True], 0.25, 0.75),
        ([True, True, True, False], 0.0, 0.75),
        ([False, False, False, False], 0.0, 0.0),
    ],
)
def test_hits(is_argmax: list[bool], strength: float, memorized: float) -> None:
    """ES = 1 - k / 4 with k the place after the last miss; EM is the share of hits."""
    row = measured([[-1.0] * 4], is_argmax=[is_argmax], ends=[False])
    assert run("extraction_strength", row)[0] == strength
    assert run("exact_memorization", row)[0] == memorized


@pytest.mark.parametrize("name", ["extraction_strength", "exact_memorization"])
def test_the_ending_token_is_left_out(name: str) -> None:
    """Missed or not it changes nothing; a row that was cut off has none to leave out."""
    rows = [[-1.0] * 3, [-1.0] * 3, [-1.0] * 2]
    is_argmax = [[True, True, False], [True, True, True], [True, True]]
    assert run(name, measured(rows, is_argmax=is_argmax, ends=[True, True, False])).tolist() == [1.0, 1.0, 1.0]
    assert run(name, measured(rows, is_argmax=is_argmax, ends=[False, True, False]))[0] < 1.0


@pytest.mark.parametrize("name", ["extraction_strength", "exact_memorization"])
def test_an_answer_of_only_an_ending_token_has_no_value(name: str) -> None:
    measurement = run(name, measured([[-1.0], [-1.0, -1.0]], is_argmax=[[True], [True, True]]))
    assert np.isnan(measurement[0]) and measurement[1] == 1.0


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
    rows = measured([[-1.0]], references=[gold], generations=[said])
    assert run("rouge_l", rows)[0] == pytest.approx(recall)


@pytest.mark.parametrize(("gold", "said"), [("gold", None), ("Привет", "Привет"), ("…", "x"), ("他生于1961年的北京", "x")])
def test_rouge_has_no_value(gold: str, said: str | None) -> None:
    rows = measured([[-1.0]], references=[gold], generations=[said])
    assert np.isnan(run("rouge_l", rows)[0])


@pytest.mark.parametrize(
    ("gold", "said", "recall"),
    [
        ("他生于1961年的北京", "他生于北京", 5 / 8),  # each character is a word, 1961 one: 他 生 于 1961 年 的 北 京
        ("Он родился в Киеве", "он родился", 0.5),
        ("Beltrán wrote books", "Beltrán writes a book", 2 / 3),  # one word, where the usual tokenizer makes two
    ],
)
def test_rouge_of_any_script(gold: str, said: str, recall: float) -> None:
    rows = measured([[-1.0]], references=[gold], generations=[said])
    values = METRICS.get("rouge_l").function(rows, tokenizer="unicode")
    assert values[0] == pytest.approx(recall)


def test_rows_without_rouge_are_counted_with_the_way_out() -> None:
    """One row of two is Chinese: the mean is over the other, and the reason names the parameter."""
    rows = measured([[-1.0]] * 2, references=["one two", "他生于北京"], generations=["one", "他生于北京"])
    scored = score_split(METRICS.get("rouge_l"), rows, samples=9, seed=0)
    assert (scored.value, scored.n, scored.dropped) == (0.5, 1, 1)
    assert "tokenizer=unicode" in scored.reason


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("rouge_l", {}, 2 / 3),  # the, cat, [sat]: 2 of 3 in order
        ("rouge_l_f1", {}, 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)),
        ("rouge_1", {}, 2 / 3),
        ("rouge_l", {"stem": False}, 1 / 3),  # cats is another word than cat
    ],
)
def test_rouge_variants(name: str, parameters: dict, expected: float) -> None:
    rows = measured([[-1.0]], references=["the cats sat"], generations=["the cat was lying"])
    assert METRICS.get(name).function(rows, **parameters)[0] == pytest.approx(expected)


def test_paraphrases() -> None:
    """exp(-2); the answer is compared with the paraphrase, and a row without one has no value."""
    rows = replace(
        measured([[-1.0]] * 2, references=["x", "x"], generations=["a b", "a b"]),
        paraphrases=("a c", None), paraphrased_logps=np.array([-2.0, np.nan]),
    )  # fmt: skip
    assert run("paraphrased_probability", rows)[0] == pytest.approx(np.exp(-2))
    values = run("paraphrased_rouge_l", rows)
    assert values[0] == 0.5 and np.isnan(values[1])


def test_choices() -> None:
    """Right at -1: above -2 and -3; below -0.5; no wrong answers, no value."""
    wrong = np.array([[-2.0, -3.0], [-2.0, -0.5], [np.nan, np.nan]])
    measurement = run("choice_accuracy", replace(measured([[-1.0]] * 3), perturbed_logps=wrong))
    assert measurement[:2].tolist() == [1.0, 0.0] and np.isnan(measurement[2])
    unknown = run("choice_accuracy", replace(measured([[float("nan")]]), perturbed_logps=wrong[:1]))
    assert np.isnan(unknown).all(), "an answer without a probability is not a wrong choice"


@pytest.mark.parametrize(
    ("said", "declines"),
    [
        ("I don't know who that is.", True),
        ("I’m afraid I can’t help with this one.", True),
        ("I have no information about this.", True),
        ("The author was born in Lima and could not swim.", False),
        ("He is known for his novels.", False),
    ],
)
def test_refusals(said: str, declines: bool) -> None:
    assert run("refusal_rate", measured([[-1.0]], generations=[said]))[0] == declines


def test_shipped_refusals_are_recognized() -> None:
    message = [f"{text} Anything else?" for text in refusals()]
    assert run("refusal_rate", measured([[-1.0]] * len(message), generations=message)).all()


def test_knowledge_is_cut_at_the_next_question() -> None:
    split = replace(
        measured([[-1.0]], references=["in Lima"], generations=["in Lima\n\nQuestion: and then?"]), split="forget_knowmem"
    )
    assert run("knowledge_memorization", split)[0] == 1.0


@pytest.mark.parametrize(("draws", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_leaks_are_counted_at_powers_of_two_and_at_all_draws(draws: int, expected: list[int]) -> None:
    assert powers(draws) == expected


def test_sampled_answers() -> None:
    """Two draws, one right: mean and share 1/2, largest 1; bounds are those of two draws."""
    rows = replace(measured([[-1.0]], references=["a b"], generations=["x"]), samples=(("a b", "x y"),))
    values, details = METRICS.get("sampled_rouge_l").function(rows)
    assert values[0] == 0.5
    assert (details["max"], details["leaks"]) == (1.0, 0.5)
    assert (details["leak_at_1"], details["leak_at_2"]) == (0.5, 1.0)
    assert details["leak_bound"] == pytest.approx(leak_bound(1, 2, 0.01))
    assert details["expectation_bound"] == 1.0  # 2 draws: the band is wider than what is known


def test_the_published_epsilon_makes_a_collapsed_model_remember() -> None:
    """Right and wrong answers at -60: the ratio is 1, row score 1; with 1e-10 added to the right one it is near 0."""
    rows = replace(measured([[-60.0]]), perturbed_logps=np.array([[-60.0, -60.0]]))
    assert run("truth_ratio", rows)[0] == pytest.approx(1.0)
    assert METRICS.get("truth_ratio").function(rows, legacy_eps=True)[0] == pytest.approx(np.exp(-60) * 1e10, rel=1e-6)
    assert run("truth_ratio_prob", rows)[0] == pytest.approx(0.5)
    healthy = replace(measured([[-1.0]]), perturbed_logps=np.array([[-2.0, -3.0]]))
    for name in ("truth_ratio", "truth_ratio_arith", "truth_ratio_prob"):
        plain, legacy = run(name, healthy)[0], METRICS.get(name).function(healthy, legacy_eps=True)[0]
        assert plain != legacy and plain == pytest.approx(legacy, abs=1e-8)


OF_ONE_SPLIT = [name for name in METRICS.names() if METRICS.get(name).needs == ("split",)]


@pytest.mark.parametrize("name", OF_ONE_SPLIT)
def test_every_metric_keeps_to_its_range(name: str) -> None:
    """Random rows: one value for each, or one number, within the declared bounds."""
    metric = METRICS.get(name)
    noise = np.random.default_rng(0)
    lengths = [1, 2, 5, 9]
    rows = [(-noise.exponential(3, n)).tolist() for n in lengths]
    is_argmax = [(noise.random(n) < 0.5).tolist() for n in lengths]
    said = ["a b c d e", "b", "c d e c d e c d", ""]
    split = measured(rows, is_argmax=is_argmax, references=["a b"] * 4, generations=said)
    wrong = np.where(noise.random((4, 3)) < 0.2, np.nan, -noise.exponential(3, (4, 3)))
    split = replace(split, paraphrased_logps=-noise.exponential(3, 4), perturbed_logps=wrong)
    split = replace(split, paraphrases=("a b", None, "d e", "x"), samples=(("a b", "b"), ("c",), ("d e", "x y z"), ()))
    values = metric.function(split)
    values, details = values if isinstance(values, tuple) else (values, {})
    assert all(np.isfinite(value) for value in details.values())
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


def test_nearer_to_the_model_that_never_saw_the_rows() -> None:
    """Each of eight rows is nearer to the baseline: p = 2^-8. The other way round p is 1."""
    rows = range(1, 9)
    before, baseline = ({"forget": measured([[value]] * 8)} for value in (-1.0, -20.0))
    own = measured([[-20.0 + 0.1 * r] for r in rows])
    value, details = METRICS.get("nearer").function(own, before, baseline)
    assert value == pytest.approx(2**-8)
    assert details["nearer_rows"] == 1.0 and details["distance_baseline"] == pytest.approx(0.45)
    assert details["distance_before"] == pytest.approx(18.55)
    value, details = METRICS.get("nearer").function(own, baseline, before)
    assert value == pytest.approx(1.0) and details["nearer_rows"] == 0.0


def test_equal_controls_are_near_to_nothing() -> None:
    same = {"forget": measured([[-2.0]] * 4)}
    value, details = METRICS.get("nearer").function(measured([[-3.0]] * 4), same, same)
    assert np.isnan(value) and details == {}


@pytest.mark.parametrize(("shift", "sign"), [(1.0, 1.0), (-1.0, -1.0), (0.0, 0.0)])
def test_forget_quality_says_on_which_side_of_the_baseline(shift: float, sign: float) -> None:
    """Three log ratios of -2, all moved alike: D = 1 and p = 2 / C(6, 3) = 0.1, with the sign of the move."""
    rows = measured([[-1.0], [-1.0], [-1.0]])
    baseline = replace(rows, perturbed_logps=np.full((3, 1), -3.0))
    value, details = METRICS.get("forget_quality").function(
        replace(rows, perturbed_logps=np.full((3, 1), -3.0 + shift)), {"forget": baseline}
    )
    expected = (0.1, 1.0) if shift else (1.0, 0.0)
    assert (value, details["D"]) == pytest.approx(expected) and details["sign"] == sign
    assert details["log10_p"] == pytest.approx(np.log10(value))


@pytest.mark.parametrize("wrong", [None, np.empty((2, 0))])
def test_choices_without_wrong_answers_have_no_value(wrong: np.ndarray | None) -> None:
    assert np.isnan(run("choice_accuracy", replace(measured([[-1.0], [-2.0]]), perturbed_logps=wrong))).all()


def test_forget_quality_without_wrong_answers_has_no_value() -> None:
    rows = replace(measured([[-1.0], [-1.0]]), perturbed_logps=np.full((2, 1), -3.0))
    without = replace(rows, perturbed_logps=np.full((2, 1), np.nan))
    for ours, theirs in ((without, rows), (rows, without)):
        value, details = METRICS.get("forget_quality").function(ours, {"forget": theirs})
        assert np.isnan(value) and details == {}
