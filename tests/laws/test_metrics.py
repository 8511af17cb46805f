"""What every metric owes, and what measuring owes them all: nothing depends on order, batches, padding or chunks."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
import torch

import unlearn_cli.models.score as score_module
from tests.metrics.test_metrics import measured
from tests.models.tiny import VOCABULARY, load
from unlearn_cli.contract import METRICS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.evaluation.measure import Plan, Questions, measure
from unlearn_cli.evaluation.score import score, score_split
from unlearn_cli.measured import Measured
from unlearn_cli.models.forward import Layout

OF_ONE_SPLIT = [name for name in METRICS.names() if METRICS.get(name).needs == ("split",)]
SPLITS = ("forget", "retain", "holdout", "real_authors", "world_facts")


def sample(split: str = "forget", rows: int = 7, seed: int = 0) -> Measured:
    """Random rows with everything that a metric may read; row 0 has one token, which ends the answer."""
    noise = np.random.default_rng(seed)
    lengths = [1, *noise.integers(2, 9, rows - 1).tolist()]
    words = np.array(list("abcdefgh"))
    said = [" ".join(noise.choice(words, 6)) for _ in range(rows)]
    total = sum(lengths)
    measurement = measured(
        [(-noise.exponential(1.0, n)).tolist() for n in lengths],
        is_argmax=[(noise.random(n) < 0.6).tolist() for n in lengths],
        references=[" ".join(noise.choice(words, 5)) for _ in range(rows)],
        generations=said, mu=(-noise.exponential(1.0, total)).tolist(), sigma=(0.5 + noise.random(total)).tolist(),
    )  # fmt: skip
    return replace(
        measurement, split=split, paraphrased_logps=-noise.exponential(1.0, rows),
        perturbed_logps=-noise.exponential(1.0, (rows, 3)),
        paraphrases=tuple(" ".join(noise.choice(words, 5)) for _ in range(rows)),
        samples=tuple(tuple(" ".join(noise.choice(words, 4)) for _ in range(4)) for _ in range(rows)),
        grad_norms=noise.random(rows),
    )  # fmt: skip


def reordered(split: Measured, order: list[int]) -> Measured:
    """The same rows in another order."""
    tokens = np.concatenate([np.arange(split.offsets[r], split.offsets[r + 1]) for r in order])
    values = {}
    for field in fields(split):
        value = getattr(split, field.name)
        if field.name == "offsets":
            values["offsets"] = np.cumsum([0, *(split.lengths[r] for r in order)])
        elif field.name in ("token_logps", "is_argmax", "mu", "sigma"):
            values[field.name] = value[tokens]
        elif isinstance(value, tuple):
            values[field.name] = tuple(value[r] for r in order)
        elif isinstance(value, np.ndarray):
            values[field.name] = value[order]
        else:
            values[field.name] = value
    return Measured(**values)


@pytest.mark.parametrize("name", OF_ONE_SPLIT)
def test_rows_keep_their_values_in_any_order(name: str) -> None:
    split, order = sample(), [3, 0, 6, 2, 5, 1, 4]
    before, after = (METRICS.get(name).function(x) for x in (split, reordered(split, order)))
    if isinstance(before, tuple):
        assert before[1] == pytest.approx(after[1])
        before, after = before[0], after[0]
    if isinstance(before, float):
        assert before == pytest.approx(after, abs=1e-9)
    else:
        np.testing.assert_allclose(before[order], after, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in METRICS.names() if name not in OF_ONE_SPLIT])
def test_comparisons_do_not_depend_on_order(name: str) -> None:
    metric = METRICS.get(name)
    one = {split: sample(split, seed=i) for i, split in enumerate(SPLITS)}
    other, before = ({split: sample(split, seed=i + shift) for i, split in enumerate(SPLITS)} for shift in (10, 20))
    pair = []
    for order in ([0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]):  # of the same rows under every model
        now, then, base = ({s: reordered(x, order) for s, x in splits.items()} for splits in (one, before, other))
        pair.append(
            score([name], now, samples=3, seed=0, beside={"baseline": base, "before": then})[metric.group][metric.name]
        )
    assert pair[0].value is not None
    assert pair[0].value == pytest.approx(pair[1].value, abs=1e-9)
    assert pair[0].details == pytest.approx(pair[1].details)


@pytest.mark.parametrize("name", OF_ONE_SPLIT)
def test_a_row_that_is_one_ending_token_is_a_value_or_counted(name: str) -> None:
    """The value exists or the row is counted as dropped, with a reason."""
    metric = METRICS.get(name)
    scored = score_split(metric, sample(), metric.resolve({}), samples=3, seed=0)
    assert scored.value is not None
    if scored.dropped:
        assert scored.reason and scored.n + scored.dropped == 7


@pytest.mark.parametrize("name", OF_ONE_SPLIT)
def test_nothing_measured_is_none_with_a_reason(name: str) -> None:
    """Rows without answers of any kind but the true ones, of which nothing but an ending token is scored."""
    metric = METRICS.get(name)
    scored = score_split(metric, measured([[-1.0]]), metric.resolve({}), samples=3, seed=0)
    assert (scored.value is not None) or (scored.reason and scored.n == 0)


def questions() -> tuple[list[Row], list]:
    """Five questions of other lengths, with and without other answers; one answer of a single token, one cut off."""
    noise = np.random.default_rng(3)
    rows, others = [], []
    for i, (length, said, wrong) in enumerate([(4, 3, 2), (7, 1, 2), (3, 6, 0), (9, 2, 1), (5, 4, 2)]):
        start = noise.integers(2, VOCABULARY, length)

        def answer(n: int, start=start, i=i) -> Row:
            ids = np.concatenate([start, noise.integers(2, VOCABULARY, n)])
            return Row(str(i), ids, len(start), len(start), "gold", ends=i != 3)

        rows.append(answer(said))
        others.append((answer(2) if wrong else None, tuple(answer(n + 1) for n in range(wrong))))
    # Answers that begin alike share more than the question; the question is still all that may be shared.
    others[0][1][0].input_ids[4] = rows[0].input_ids[4]
    return rows, others


class _Words:
    def decode(self, ids, skip_special_tokens: bool) -> str:
        return " ".join(map(str, ids))


def measuring(architecture: str, monkeypatch, *, budget=64, layout=None, chunk=256, order=None) -> Measured:
    loaded = load(architecture)
    loaded = replace(loaded, model=loaded.model.double(), tokenizer=_Words(), layout=layout or loaded.layout)
    monkeypatch.setattr(score_module, "CHUNK", chunk)
    rows, others = questions()
    order = order or list(range(len(rows)))
    plan = Plan(generate=0, max_new_tokens=6, token_budget=budget)
    rows, others = [rows[i] for i in order], [others[i] for i in order]
    return measure(loaded, Questions("forget", rows, [""] * 5, 5, others), plan)


@cache
def usually_measured(architecture: str) -> Measured:
    with pytest.MonkeyPatch.context() as patched:
        return measuring(architecture, patched)


NUMBERS = ("token_logps", "is_argmax", "mu", "sigma", "paraphrased_logps", "perturbed_logps")


def close(one: Measured, two: Measured) -> None:
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=0, atol=1e-6, err_msg=name)
    assert one.generations == two.generations


@pytest.mark.parametrize("architecture", ["llama-gqa", "gemma2", "gpt2", "mistral"])
@pytest.mark.parametrize(
    "other",
    [{"budget": 1}, {"budget": 10_000}, {"chunk": 1}, {"layout": "alone"}, {"layout": "padded"}, {"order": [4, 2, 0, 1, 3]}],
    ids=["one question a pass", "one pass", "one token a chunk", "nothing shared", "padded", "other order"],
)
def test_measuring_does_not_depend_on_how_it_is_done(architecture: str, other: dict, monkeypatch) -> None:
    usual = usually_measured(architecture)
    layout = load(architecture).layout
    assert layout.packed and layout.shares, "the layout under test is not the usual one"
    if other.get("layout") == "alone":
        other = {"layout": replace(layout, shares=False)}
    elif other.get("layout") == "padded":
        other = {"layout": Layout(False, layout.attention, own_head=layout.own_head)}
    measurement = measuring(architecture, monkeypatch, **other)
    if "order" in other:
        usual = reordered(usual, other["order"])
    close(measurement, usual)


def test_a_planted_mistake_in_sharing_is_seen(monkeypatch) -> None:
    """Answers that see the answers before them as well, not their question alone."""
    usual = measuring("llama-gqa", monkeypatch)
    honest = score_module.pack_shared

    def leaking(chosen):
        batch = honest(chosen)
        if batch.parents is None:
            return batch
        behind = [row - 1 if row and p == batch.parents[row - 1] >= 0 else int(p) for row, p in enumerate(batch.parents)]
        return replace(batch, parents=torch.tensor(behind))

    monkeypatch.setattr(score_module, "pack_shared", leaking)
    with pytest.raises(AssertionError):
        close(measuring("llama-gqa", monkeypatch), usual)


def test_tokens_are_counted(monkeypatch) -> None:
    """Lengths asked + said, with a paraphrase of 2 and wrong answers of 1 and 2 where there are any.

    Each answer had its question: 7+6+5+6, 8+9+8+9, 9, 11+11+10, 9+7+6+7 = 128. Needed: questions 4+7+3+9+5 and answers
    3+2+1+2, 1+2+1+2, 6, 2+2+1, 4+2+1+2 = 28+34. Run: one token of the question again for each answer but the first.
    """
    shared = measuring("llama-gqa", monkeypatch)
    alone = measuring("llama-gqa", monkeypatch, layout=replace(load("llama-gqa").layout, shares=False))
    assert (alone.tokens_run, shared.tokens_needed) == (128, 62)
    assert shared.tokens_run == 62 + (3 + 3 + 2 + 3)
    assert shared.tokens_generated <= 5 * 6


def test_cut_and_single_token_answers_have_values(monkeypatch) -> None:
    measurement = measuring("llama-gqa", monkeypatch)
    assert measurement.ends.tolist() == [True, True, True, False, True]
    assert measurement.lengths.tolist() == [3, 1, 6, 2, 4]
    values = METRICS.get("exact_memorization").function(measurement)
    assert np.isnan(values).tolist() == [False, True, False, False, False]
    assert torch.is_grad_enabled()
