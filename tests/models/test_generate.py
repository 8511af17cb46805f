"""Sampled answers, and the model of two passes in transformers' own `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models.test_compose import RULES, composed
from tests.models.tiny import load, rows_of
from unlearn_cli.models.compose import compose
from unlearn_cli.models.generate import Sampling, greedy, sample

PROMPTS = [row.input_ids for row in rows_of((6, 3, 8), seed=1)]
LIMIT = 6


def test_equal_seeds_give_equal_answers() -> None:
    loaded = load("llama-gqa")
    first, again, other = (sample(loaded, PROMPTS, LIMIT, Sampling(1.0, count=2, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_answers_come_in_the_order_of_the_prompts() -> None:
    """Near temperature 0 the draw is the most probable token: every answer to a prompt is the greedy one to that prompt."""
    loaded = load("llama-gqa")
    collected: list[int] = []
    answers = sample(loaded, PROMPTS, LIMIT, Sampling(1e-4, count=3, seed=0), collected.append)
    assert answers == [[answer] * 3 for answer in greedy(loaded, PROMPTS, LIMIT)]
    assert sum(collected) == 3 * len(PROMPTS)


def test_draws_follow_the_distribution() -> None:
    """2000 draws of a first token: their shares are within 5 standard errors of softmax(logits / temperature)."""
    loaded, prompt, temperature, count = load("llama-gqa"), PROMPTS[0], 0.5, 2000
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.from_numpy(prompt)[None]).logits[0, -1]
    expected = (logits.double() / temperature).softmax(-1).numpy()
    (drawn,) = sample(loaded, [prompt], 1, Sampling(temperature, count, seed=0))
    stop = next(iter(loaded.stop_ids))
    seen = np.bincount([answer[0] if answer else stop for answer in drawn], minlength=len(expected)) / count
    assert np.all(np.abs(seen - expected) <= 5 * np.sqrt(expected * (1 - expected) / count) + 1 / count)


@pytest.mark.parametrize("architecture", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize("applied", RULES)
def test_a_left_padded_batch_of_transformers_generate_equals_ours(applied: str, architecture: str) -> None:
    """The positions of GPT-2 are absolute: it sees them count the padding."""
    loaded, composition = composed(applied, architecture=architecture)
    compose(loaded, composition)
    longest = max(map(len, PROMPTS))
    ids = torch.zeros(len(PROMPTS), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(PROMPTS):
        ids[row, longest - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, longest - len(prompt) :] = 1
    generated = loaded.model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=LIMIT, do_sample=False, pad_token_id=0
    )
    for ours, theirs in zip(greedy(loaded, PROMPTS, LIMIT), generated[:, longest:].tolist(), strict=True):
        assert theirs[: len(ours)] == ours


@pytest.mark.parametrize("applied", RULES)
def test_transformers_samples_from_a_composed_model(applied: str) -> None:
    """As with any model: equal from equal seeds, and several answers to one prompt."""
    loaded, composition = composed(applied)
    compose(loaded, composition)
    ids, collected = torch.from_numpy(PROMPTS[0])[None], []
    for _ in range(2):
        torch.manual_seed(0)
        collected.append(
            loaded.model.generate(ids, max_new_tokens=3, do_sample=True, num_return_sequences=2, pad_token_id=0)
        )
    assert collected[0].shape[0] == 2
    assert torch.equal(*collected)
