"""Two passes over one set of weights: the rules, and the model made of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from tests.models.tiny import load, rows_of
from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import attach, trainable_parameters
from unlearn_cli.models.compose import (
    Composed,
    Composition,
    compose,
    kept_tokens,
    logit_difference,
    logit_offset,
    reinforced_difference,
    with_rest,
)
from unlearn_cli.models.depth import linears
from unlearn_cli.models.forward import forward
from unlearn_cli.models.generate import greedy

BASE = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -4.0], dtype=torch.float64)
ASSISTANT = torch.tensor([6.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 8.0, 0.0], dtype=torch.float64)
ROWS = rows_of((9, 5, 12), seed=1)
RULES = {
    "logit_difference": {"alpha": 0.8, "filter": 0.1},
    "reinforced_difference": {"alpha": 1.0},
    "logit_offset": {"weight": 1.0},
}


def composed(applied: str, *, blocks: int | None = 1, loose: bool = True, architecture: str = "llama-gqa") -> tuple:
    """A loaded model with an adapter that has moved, and its composition."""
    loaded = load(architecture)
    attach(loaded, LoraOptions(lora_r=2), seed=0, modules=linears(loaded.model, blocks or 2))
    if loose:
        with torch.no_grad():
            for name, parameter in trainable_parameters(loaded.model):
                if "lora_B" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return loaded, Composition(applied, RULES[applied], blocks)


def test_worked_example() -> None:
    """alpha 0.8, filter 0.3 keeps three of ten: 5 - 4.8, 4 - 0.8, 3 - 0.8, so p(0) falls from 0.632 to 0.03511903.

    The published scoring rule keeps the base's logits of the others (0.02629070) and moves by a shift of the assistant.
    """
    p = logit_difference(BASE, ASSISTANT, 0.8, 0.3).softmax(-1)
    assert BASE.softmax(-1)[0].item() == pytest.approx(0.6321492583604869, abs=1e-9)
    assert p[0].item() == pytest.approx(0.035119026959339696, abs=1e-9)
    assert p.argmax().item() == 1
    shifted = logit_difference(BASE, ASSISTANT + 2.0, 0.8, 0.3).softmax(-1)
    torch.testing.assert_close(shifted, p)


def test_without_a_filter() -> None:
    p = logit_difference(BASE, ASSISTANT, 0.8, 0.0).softmax(-1)
    assert p[0].item() == pytest.approx(0.028848200508385203, abs=1e-9)


@pytest.mark.parametrize(("share", "kept"), [(0.3, [0, 1, 2]), (0.05, [0, 1]), (0.0, list(range(10)))])
def test_the_filter(share: float, kept: list[int]) -> None:
    """0.3: the best three, or p >= 0.3 of the best. 0.05 of ten tokens is none, where the published filter lets all pass:
    here p >= 0.05 of the best, e^-1 and e^-2 of it but not e^-3 (0.0498)."""
    expected = kept if share != 0.05 else [0, 1, 2]
    assert kept_tokens(BASE.log_softmax(-1), share).nonzero().flatten().tolist() == expected


def test_a_filtered_token_is_never_chosen_and_still_finite() -> None:
    """Published generation multiplies scores by the filter: with all kept scores negative it answers 0 instead of 1."""
    base = torch.tensor([-4.0, -1.0, -2.0, -3.0, -5.0, -6.0, -7.0, -8.0, -9.0, -10.0])
    logits = logit_difference(base, torch.zeros(10), 0.8, 0.3)
    assert logits.argmax().item() == 1
    assert logits.isfinite().all()
    assert logits.softmax(-1)[[0, 4, 9]].sum() < 1e-9


def test_an_assistant_that_knows_nothing_changes_nothing() -> None:
    """Uniform logits; or whatever it says at rest, once that is measured."""
    torch.testing.assert_close(logit_difference(BASE, torch.ones(10), 0.8, 0.0).softmax(-1), BASE.softmax(-1))
    rest = ASSISTANT.log_softmax(-1)
    torch.testing.assert_close(logit_difference(BASE, ASSISTANT, 0.8, 0.0, rest).softmax(-1), BASE.softmax(-1))
    torch.testing.assert_close(logit_difference(BASE, ASSISTANT, 0.0, 0.0).softmax(-1), BASE.softmax(-1))


def test_the_target_as_its_own_assistant_leaves_chance() -> None:
    p = logit_difference(BASE, BASE, 1.0, 0.0).softmax(-1)
    assert p.tolist() == pytest.approx([0.1] * 10)


def test_offset_and_reinforced() -> None:
    """[1, 2] + ([0, 1] - [0.5, 0.5]) = [0.5, 2.5]; [1, 2, 3] - relu([3, 1, 3.5] - [1, 2, 3]) = [-1, 2, 2.5]."""
    base, new, old = (torch.tensor(x) for x in ([1.0, 2.0], [0.0, 1.0], [0.5, 0.5]))
    assert logit_offset(base, new, old, 1.0).tolist() == [0.5, 2.5]
    one, other = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 1.0, 3.5])
    assert reinforced_difference(one, other, 1.0).tolist() == [-1.0, 2.0, 2.5]
    assert reinforced_difference(one, one, 1.0).tolist() == one.tolist()


@pytest.mark.parametrize("applied", RULES)
def test_scoring_packed_rows_equals_single_rows(applied: str) -> None:
    loaded, composition = composed(applied)
    compose(loaded, composition)
    with torch.no_grad():
        packed = forward(loaded.model, pack({"r": ROWS}), loaded.layout)["r"]
        for i, row in enumerate(ROWS):
            logits = loaded.model(input_ids=torch.from_numpy(row.input_ids)[None]).logits[0]
            alone = logits.log_softmax(-1)[row.answer_start - 1 : -1].gather(
                -1, torch.from_numpy(row.input_ids[row.answer_start :])[:, None]
            )
            torch.testing.assert_close(packed.token_logps[i, : row.answer_length], alone.squeeze(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("applied", RULES)
def test_generation_follows_the_rule_of_scoring(applied: str) -> None:
    """With caches, in a left-padded batch, through our loop and transformers' own: the argmax of a full pass each time."""
    loaded, composition = composed(applied)
    compose(loaded, replace(composition, rest=None))
    prompts = [row.input_ids[:n] for row, n in zip(ROWS, (6, 3, 8), strict=True)]
    ours = greedy(loaded, prompts, 6)
    for prompt, outcome in zip(prompts, ours, strict=True):
        ids = torch.from_numpy(np.asarray(prompt))[None]
        theirs = loaded.model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)[0, len(prompt) :].tolist()
        full = ids
        with torch.no_grad():
            for _ in range(6):
                full = torch.cat([full, loaded.model(input_ids=full).logits[:, -1].argmax(-1, keepdim=True)], 1)
        by_hand = full[0, len(prompt) :].tolist()
        ended = next((n for n, token in enumerate(by_hand) if token in loaded.stop_ids), 6)
        assert outcome == by_hand[:ended]
        assert theirs[:ended] == by_hand[:ended]


@pytest.mark.parametrize("applied", ["logit_offset", "reinforced_difference"])
def test_before_training_nothing_is_added(applied: str) -> None:
    loaded, composition = composed(applied, loose=False)
    ids = torch.from_numpy(ROWS[0].input_ids)[None]
    with torch.no_grad():
        base = loaded.model(input_ids=ids).logits
        if applied == "reinforced_difference":
            composition = replace(composition, blocks=None)
        torch.testing.assert_close(Composed(loaded.model, composition)(input_ids=ids).logits, base)


def test_the_base_is_the_reference_and_there_is_one_set_of_weights() -> None:
    loaded, composition = composed("logit_difference")
    ids = torch.from_numpy(ROWS[0].input_ids)[None]
    with torch.no_grad(), loaded.model.disable_adapter():
        base = loaded.model(input_ids=ids).logits
    before = {id(p) for p in loaded.model.parameters()}
    compose(loaded, composition)
    assert {id(p) for p in loaded.model.parameters()} == before
    with torch.no_grad(), loaded.model.disable_adapter():
        assert torch.equal(loaded.model(input_ids=ids).logits, base)


def test_rest_is_the_mean_of_what_the_assistant_says() -> None:
    loaded, composition = composed("logit_difference", blocks=None)
    resting = with_rest(loaded, composition, ROWS)
    with torch.no_grad():
        said = forward(loaded.model, pack({"r": ROWS}), loaded.layout, logits=frozenset("r"))["r"]
    expected = said.logits.log_softmax(-1)[said.mask].mean(0)
    torch.testing.assert_close(resting.rest, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("depth", "blocks"), [(0.5, 3), (1.0, 6), (0.01, 1)])
def test_depth_becomes_blocks(depth: float, blocks: int) -> None:
    built = Composition.of("logit_difference", {"alpha": 1.0, "filter": 0.1, "depth": depth, "perturbed": 1.0}, 6)
    assert built.blocks == blocks
    assert Composition(**built.described()) == built
    assert Composition.of("adapter", {}, 6) is None
    assert math.isclose(built.parameters["alpha"], 1.0)


@pytest.mark.parametrize("flags", [{"num_beams": 2}, {"prompt_lookup_num_tokens": 2}, {"cache_implementation": "static"}])
def test_what_the_assistants_cache_does_not_follow_is_refused(flags: dict) -> None:
    """Given outright, or in a generation config."""
    loaded, composition = composed("logit_difference")
    compose(loaded, composition)
    ids = torch.from_numpy(ROWS[0].input_ids)[None]
    config = GenerationConfig(**flags)
    for arguments in (flags, {"generation_config": config}):
        with pytest.raises(UnlearnError, match=next(iter(flags))):
            loaded.model.generate(ids, max_new_tokens=2, **arguments)


def test_a_model_in_use_stays_frozen() -> None:
    loaded, composition = composed("logit_offset")
    loaded.model.requires_grad_(False)
    compose(loaded, composition)
    ids = torch.from_numpy(ROWS[0].input_ids)[None]
    logits = loaded.model(ids, torch.ones_like(ids)).logits
    assert not logits.requires_grad
    assert not any(p.requires_grad for p in loaded.model.parameters())
