"""Every architecture gives in a batch of ours what it gives to a single row, through transformers' plain eager attention."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.tiny import ARCHITECTURES, STOP, VOCABULARY, load, make, rows_of
from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.models import forward as forward_module
from unlearn_cli.models.adapter import attach, reference_weights, trainable_parameters
from unlearn_cli.models.forward import Layout, answer_logits, forward
from unlearn_cli.models.generate import greedy
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import teacher_forced

NAMES = list(ARCHITECTURES)
LENGTHS, STARTS = (13, 3, 9, 2), (6, 1, 4, 1)  # longer and shorter than the sliding windows


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, LoadedModel]]:
    """Loaded models by name, made when first asked for; tests that change one make their own."""

    class Made(dict):
        def __missing__(self, name: str) -> LoadedModel:
            self[name] = load(name)
            return self[name]

    yield Made()


def lone_logits(name: str) -> list[Tensor]:
    """Logits of each row's answer tokens [n, V], the row run by itself."""
    model = make(name, "eager")
    with torch.no_grad():
        return [
            model(input_ids=torch.from_numpy(row.input_ids)[None], use_cache=False).logits[0, row.answer_start - 1 : -1]
            for row in rows_of(LENGTHS, starts=STARTS)
        ]


@pytest.mark.parametrize("name", NAMES)
def test_layout(models: dict[str, LoadedModel], name: str) -> None:
    layout = models[name].layout
    assert layout.packed and layout.note is None, layout
    assert layout.own_head, layout


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_rows_one_by_one(models: dict[str, LoadedModel], name: str) -> None:
    rows, lone = rows_of(LENGTHS, starts=STARTS), lone_logits(name)
    groups = {"forget": rows[:3], "retain": rows[3:]}
    with torch.no_grad():
        flat = answer_logits(models[name].model, pack(groups), models[name].layout)
        packed_outputs = forward(models[name].model, pack(groups), models[name].layout, logits=frozenset({"forget"}))
    scale = torch.cat(lone).abs().max()
    assert scale > 0.1, "the logits are too flat to tell anything"
    assert (flat - torch.cat(lone)).abs().max() <= 1e-5 * max(1.0, scale)
    assert packed_outputs["retain"].logits is None
    outputs = [(packed_outputs["forget"], i) for i in range(3)] + [(packed_outputs["retain"], 0)]
    for (out, at), row, logits in zip(outputs, rows, lone, strict=True):
        n, targets = row.answer_length, torch.from_numpy(row.input_ids[row.answer_start :])
        expected = logits.log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
        torch.testing.assert_close(out.token_logps[at, :n], expected, rtol=1e-4, atol=1e-5)
        assert out.targets[at, :n].equal(targets)
        assert out.mask[at].tolist() == [i < n for i in range(out.mask.shape[1])]
        assert not out.token_logps[at, n:].any() and not out.targets[at, n:].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_padded_batch_equals_its_rows_one_by_one(models: dict[str, LoadedModel], name: str) -> None:
    """The layout for attention that cannot be packed, on the same model."""
    lone = torch.cat(lone_logits(name))
    batch = pack({"rows": rows_of(LENGTHS, starts=STARTS)})
    with torch.no_grad():
        logits = answer_logits(models[name].model, batch, Layout(False, models[name].layout.attention, own_head=True))
    assert (logits - lone).abs().max() <= 1e-5 * max(1.0, lone.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_scores_read_off_a_pass(models: dict[str, LoadedModel], name: str) -> None:
    """Rows come back in their order though packs are sorted by length; three packs."""
    scores = teacher_forced(models[name], rows_of(LENGTHS, starts=STARTS), 14)
    for row, logits, logps, is_argmax, mu in zip(
        rows_of(LENGTHS, starts=STARTS), lone_logits(name), scores.token_logps, scores.is_argmax, scores.mu, strict=True
    ):
        targets = torch.from_numpy(row.input_ids[row.answer_start :])
        expected = logits.log_softmax(-1)
        np.testing.assert_allclose(logps, expected.gather(-1, targets[:, None])[:, 0].numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(is_argmax, (logits.argmax(-1) == targets).numpy())
        np.testing.assert_allclose(mu, (expected.exp() * expected).sum(-1).numpy(), rtol=1e-3, atol=1e-4)


def adapted(name: str) -> LoadedModel:
    """A model with a LoRA adapter that does something."""
    loaded = load(name)
    attach(loaded, LoraOptions(lora_r=2), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, parameter in trainable_parameters(loaded.model):
            if "lora_B" in key:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return loaded


@pytest.mark.parametrize("name", NAMES)
def test_the_chunked_head_equals_the_plain_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Values and gradients of the adapter, with 15 answer tokens in chunks of 4."""
    loaded = adapted(name)
    batch = pack({"rows": rows_of(LENGTHS, starts=STARTS)})
    weights = [p for _, p in trainable_parameters(loaded.model)]
    results = []
    for size in (1000, 4):
        monkeypatch.setattr(forward_module, "CHUNK", size)
        out = forward(loaded.model, batch, loaded.layout)["rows"]
        results.append((out.token_logps, torch.autograd.grad(out.mean_logps.sum(), weights)))
    (plain, plain_gradients), (chunked, chunked_gradients) = results
    torch.testing.assert_close(chunked, plain, rtol=1e-5, atol=1e-5)
    assert any(g.abs().max() > 1e-3 for g in plain_gradients)
    for ours, theirs in zip(chunked_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_the_base(models: dict[str, LoadedModel], name: str) -> None:
    loaded, batch = adapted(name), pack({"rows": rows_of(LENGTHS, starts=STARTS)})
    with torch.no_grad():
        base = forward(models[name].model, batch, models[name].layout)["rows"].token_logps
        with reference_weights(loaded.model):
            reference = forward(loaded.model, batch, loaded.layout)["rows"].token_logps
        trained = forward(loaded.model, batch, loaded.layout)["rows"].token_logps
    assert reference.equal(base)
    assert (trained - base).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_greedy_answers_equal_those_of_transformers(models: dict[str, LoadedModel], name: str) -> None:
    """Prompts of unequal lengths, some longer than the window, each against transformers' generate by itself."""
    prompts = [row.input_ids for row in rows_of((9, 2, 5, 5, 1, 7, 12, 3, 4, 6), seed=3)]
    limit, stops = 8, _frequent(models[name], prompts)
    loaded = LoadedModel(**{**vars(models[name]), "stop_ids": stops})
    ours = greedy(loaded, prompts, limit)
    plain = make(name, "eager")
    for prompt, answer in zip(prompts, ours, strict=True):
        ids = torch.from_numpy(prompt)[None]
        theirs = plain.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=limit, eos_token_id=sorted(stops),
            pad_token_id=0,
        )[0, len(prompt) :].tolist()  # fmt: skip
        ended = next((i for i, token in enumerate(theirs) if token in stops), len(theirs))
        assert answer == theirs[:ended]
    assert len({len(answer) for answer in ours}) > 1, "every answer ended at the same place"


def _frequent(loaded: LoadedModel, prompts: list[np.ndarray]) -> frozenset[int]:
    """Stop tokens that end some answers early and others not: what the fourth place of the first answers holds."""
    free = greedy(LoadedModel(**{**vars(loaded), "stop_ids": frozenset({VOCABULARY + 1})}), prompts, 8)
    return frozenset({STOP, free[0][3], free[1][2]})


def test_no_row_sees_another(models: dict[str, LoadedModel]) -> None:
    """Another first row leaves the logits of the second as they were, to the last bit."""
    loaded = models["llama"]
    kept = rows_of((9,), seed=5)
    with torch.no_grad():
        outputs = [
            forward(loaded.model, pack({"other": rows_of((7,), seed=seed), "kept": kept}), loaded.layout) for seed in (1, 2)
        ]
    assert outputs[0]["kept"].token_logps.equal(outputs[1]["kept"].token_logps)
    assert not outputs[0]["other"].token_logps.equal(outputs[1]["other"].token_logps)
