"""The direction between two sets of prompts, against transformers' own hidden states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models.tiny import load, make, rows_of
from unlearn_cli.data.shipped_texts import unknowable
from unlearn_cli.models import direction as module
from unlearn_cli.models.direction import refusal_direction
from unlearn_cli.models.forward import Layout

TOWARDS = [row.input_ids for row in rows_of((5, 9, 2, 1), seed=1)]
FORGET = [row.input_ids for row in rows_of((7, 3, 12), seed=2)]


def last_states(name: str, prompts: list[np.ndarray], layer: int) -> torch.Tensor:
    """[prompts, H] after a block that is not the last, at the last token, each prompt run by itself."""
    model = make(name, "eager")
    with torch.no_grad():
        states = [model(torch.from_numpy(p)[None], use_cache=False, output_hidden_states=True) for p in prompts]
    return torch.stack([m.hidden_states[layer][0, -1] for m in states]).double()


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2", "gpt-neox", "opt"])
def test_difference_of_means(name: str) -> None:
    """Each prompt counts once, whatever its length; lists of unequal lengths."""
    difference = refusal_direction(load(name), TOWARDS, FORGET, 1)
    expected = last_states(name, TOWARDS, 1).mean(0) - last_states(name, FORGET, 1).mean(0)
    assert difference.dtype == torch.float32 and difference.shape == (32,)
    assert expected.norm() > 0.1
    torch.testing.assert_close(difference.double(), expected, rtol=1e-3, atol=1e-4)


def test_in_packs_and_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load("llama")
    whole = refusal_direction(loaded, TOWARDS, FORGET, 2)
    monkeypatch.setattr(module, "TOKENS", 8)
    torch.testing.assert_close(refusal_direction(loaded, TOWARDS, FORGET, 2), whole, rtol=1e-4, atol=1e-4)
    loaded.replace_model(loaded.model, Layout(False, loaded.layout.attention, own_head=True))
    torch.testing.assert_close(refusal_direction(loaded, TOWARDS, FORGET, 2), whole, rtol=1e-4, atol=1e-4)


def test_swapped_and_equal_prompts() -> None:
    loaded = load("llama")
    there, back = refusal_direction(loaded, TOWARDS, FORGET, 1), refusal_direction(loaded, FORGET, TOWARDS, 1)
    torch.testing.assert_close(there, -back)
    assert not refusal_direction(loaded, TOWARDS, TOWARDS, 1).any()
    assert not there.requires_grad


def test_only_the_prompt_is_seen() -> None:
    """The token that stands in for the answer is behind the position that is read."""
    loaded, ended = load("llama"), [np.append(prompt, 9) for prompt in TOWARDS]
    shifted = refusal_direction(loaded, ended, FORGET, 1) - refusal_direction(loaded, TOWARDS, FORGET, 1)
    expected = last_states("llama", ended, 1).mean(0) - last_states("llama", TOWARDS, 1).mean(0)
    torch.testing.assert_close(shifted.double(), expected, rtol=1e-3, atol=1e-4)


def test_a_prompt_without_tokens_is_left_out() -> None:
    loaded, nothing = load("llama"), np.zeros(0, dtype=np.int64)
    assert refusal_direction(loaded, [*TOWARDS, nothing], FORGET, 1).equal(refusal_direction(loaded, TOWARDS, FORGET, 1))


def test_questions_that_come_with_the_package() -> None:
    questions = unknowable()
    assert len(questions) == 40 and len(set(questions)) == 40
    for question in questions:
        assert question == question.strip() and question.endswith("?")
        assert 4 <= len(question.split()) <= 15, question
