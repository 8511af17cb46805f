"""ELM: the target that a novice and an expert make, its ramp, and the rows behind a sentence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.fixture_f import answers, one_token
from tests.training.test_loop import ALTERNATIVES, FORGET, RETAIN, adapted, trainer_of
from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.data.contexts import behind, encoded_behind
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.methods.elm import ramp
from unlearn_cli.models.forward import forward
from unlearn_cli.models.reference import answer_states
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.passes import Rows

elm = METHODS.get("elm")
BASE, EXPERT, NOVICE = [0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.3, 0.4, 0.3]
PLAIN = {"temperature": 1.0, "fluency": 0.0}


def loss(policy: list[float], **parameters: float) -> float:
    """Of one answer of one token, whose alternative has probability 0.25."""
    roles = [one_token(p) for p in (policy, BASE, EXPERT, NOVICE)]
    return elm(*roles, answers([math.log(0.25)]), **{**PLAIN, **parameters}).item()


def test_worked_example() -> None:
    """q ~ p n / e = (0.2142857, 0.6, 0.6) is (0.151515, 0.424242, 0.424242); its cross-entropy to p is 1.29859."""
    q = [0.151515151515, 0.424242424242, 0.424242424242]
    expected = -sum(a * math.log(b) for a, b in zip(q, BASE, strict=True))
    assert expected == pytest.approx(1.2985905, abs=1e-6)
    assert loss(BASE) == pytest.approx(expected)


def test_the_novices_answer_is_trained_on() -> None:
    """-log 0.25 = 1.3862944, twice."""
    assert loss(BASE, fluency=2.0) - loss(BASE) == pytest.approx(2 * 1.3862943611)


def test_the_target_is_cut() -> None:
    """The two likeliest of (0.2142857, 0.6, 0.6) have a half each."""
    assert loss(BASE, top=2) == pytest.approx(-0.5 * (math.log(0.3) + math.log(0.2)))


def test_a_temperature_flattens_every_distribution() -> None:
    """At 2 the weights are square roots: (0.2142857, 0.6, 0.6)^0.5 = (0.462910, 0.774597, 0.774597), in all 2.012104."""
    q = [0.230063, 0.384968, 0.384968]
    assert loss(BASE, temperature=2.0) == pytest.approx(
        -sum(a * math.log(b) for a, b in zip(q, BASE, strict=True)), abs=1e-5
    )


def test_it_grows_along_the_answer() -> None:
    """eta 7: an answer of 4 tokens has 1, 3, 5, 7; one of two has 1 and 7, one of a single token has 1."""
    strengths = ramp(answers([0.0] * 4, [0.0] * 2, [0.0]), 7.0)
    assert strengths[0].tolist() == [1, 3, 5, 7] and strengths[1, :2].tolist() == [1, 7] and strengths[2, 0] == 1


def test_where_expert_and_novice_agree_it_is_distillation() -> None:
    """No gradient at the reference."""
    policy = one_token(BASE)
    elm(policy, one_token(BASE), one_token(EXPERT), one_token(EXPERT), answers([-1.0]), **PLAIN).sum().backward()
    assert policy.logits.grad.abs().max() < 1e-12


ROW = Example("7", (("system", "Be brief."), ("user", "Where was Ada born?")), "In Turin.", "messages")


def test_a_sentence_stands_before_the_question() -> None:
    assert behind(ROW, " By a beginner. ").turns == (ROW.turns[0], ("user", "By a beginner.\n\nWhere was Ada born?"))


def test_its_answer_has_the_same_tokens() -> None:
    """Also where the row was cut: the answer is then cut at the same token, whatever stands before it."""
    words = ["<unk>", "</s>", "By", "a", "beginner", ".", "Where", "was", "Ada", "born", "?", "In", "Turin"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")
    for length in (64, 17):
        encoder = Encoder(fast, length, stop_ids=frozenset({1}))
        (row,) = encoder.encode([ROW])
        moved = encoded_behind(encoder, row, ROW, "By a beginner.")
        assert moved.input_ids[moved.answer_start :].tolist() == row.input_ids[row.answer_start :].tolist()
        assert moved.answer_start == row.answer_start + 4
        assert len(row.input_ids) <= length < len(moved.input_ids) or length == 64


def longer(row: Row, more: int) -> Row:
    """The row behind its own first token, `more` times."""
    ids = np.concatenate([row.input_ids[:1].repeat(more), row.input_ids])
    return replace(row, input_ids=ids, answer_start=row.answer_start + more)


def test_only_the_reference_runs_them(tmp_path) -> None:
    """A step's outputs behind a sentence are the reference's there, from stored states as well, without gradient."""
    loaded = adapted()
    objective = Objective(elm, RETAIN_TERMS.get("kl"), elm.resolve({}), RETAIN_TERMS.get("kl").resolve({}), 1.0, 1.0)
    assert objective.groups == ("forget", "alternative", "retain") and objective.context_groups == ("expert", "novice")
    contexts = {name: [longer(row, more) for row in FORGET] for name, more in (("expert", 1), ("novice", 2))}
    rows = Rows(FORGET, ALTERNATIVES, RETAIN, contexts=contexts)
    passes = replace(trainer_of(loaded, tmp_path).passes, objective=objective, rows=rows)
    chosen = [(0, 3), (0, 1)]
    live = passes.run(chosen, [0, 2])
    assert set(live.policy) == {"forget", "alternative", "retain"}
    keyed = {(name, i): row for name, some in contexts.items() for i, row in enumerate(some)}
    keyed |= {("forget", i): row for i, row in enumerate(FORGET)} | {("retain", i): row for i, row in enumerate(RETAIN)}
    with passes.reference_weights(loaded.model):
        states = answer_states(loaded, keyed, token_budget=60)
        (alone,) = forward(
            loaded.model, passes._pack({"x": [contexts["novice"][3]]}), loaded.layout, logits=frozenset({"x"})
        ).values()
    stored = replace(passes, states=states).run(chosen, [0, 2])
    assert not live.reference["novice"].logits.requires_grad
    length = int(alone.lengths)
    torch.testing.assert_close(live.reference["novice"].logits[0, :length], alone.logits[0])
    assert not torch.allclose(live.reference["expert"].logits, live.reference["novice"].logits)
    for name in ("forget", "expert", "novice", "retain"):
        torch.testing.assert_close(stored.reference[name].logits, live.reference[name].logits, rtol=1e-6, atol=1e-8)
    losses = objective.forget_losses(live.policy, live.reference, 0.0)
    assert losses.shape == (2,) and losses.isfinite().all()
