"""Answers in batches, greedy or sampled, sorted by length; with a key-value cache, where that is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache

from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.forward import answer_logits

if TYPE_CHECKING:
    from unlearn_cli.models.load import LoadedModel  # which tries generation itself

Choose = Callable[[torch.Tensor], torch.Tensor]  # logits [B, V] to tokens [B]

BATCH = 64
LEAVE = 8  # the cache is copied when an eighth of the batch has finished


@torch.inference_mode()
def greedy(
    loaded: LoadedModel,
    prompts: Sequence[np.ndarray],
    max_new_tokens: int,
    advance: Callable[[int], None] = lambda n: None,
) -> list[list[int]]:
    """The most probable continuation of each prompt, up to a token that ends an answer (left out) or the limit.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        prompts: token ids [L] of each prompt.
        max_new_tokens: longest continuation.
        advance: called after each batch with its number of prompts.
    """
    return _answers(loaded, prompts, max_new_tokens, lambda logits: logits.argmax(-1), advance)


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; equal seeds give equal answers on the same device."""

    temperature: float  # logits are divided by it
    count: int  # answers to each prompt
    seed: int
    top_p: float = 1.0  # draws come from the likeliest tokens that together have this probability


@torch.inference_mode()
def sample(
    loaded: LoadedModel,
    prompts: Sequence[np.ndarray],
    max_new_tokens: int,
    sampling: Sampling,
    advance: Callable[[int], None] = lambda n: None,
) -> list[list[list[int]]]:
    """Sampled continuations of each prompt.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        prompts: token ids [L] of each prompt.
        max_new_tokens: longest continuation.
        sampling: the number of answers to each prompt, and how they are drawn.
        advance: called after each batch with its number of answers.
    """
    generator, count = torch.Generator(loaded.device).manual_seed(sampling.seed), sampling.count

    def draw(logits: torch.Tensor) -> torch.Tensor:
        weights = (logits.float() / sampling.temperature).softmax(-1)
        if sampling.top_p < 1:
            weights = _nucleus(weights, sampling.top_p)
        return torch.multinomial(weights, 1, generator=generator).squeeze(-1)

    repeated = [prompt for prompt in prompts for _ in range(count)]
    answers = _answers(loaded, repeated, max_new_tokens, draw, advance)
    return [answers[start : start + count] for start in range(0, len(answers), count)]


def _nucleus(weights: torch.Tensor, mass: float) -> torch.Tensor:
    """Probabilities [B, V] with 0 outside the smallest set of likeliest tokens that reaches `mass`."""
    ordered, order = weights.sort(-1, descending=True)
    ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= mass, 0.0)
    return torch.zeros_like(weights).scatter(-1, order, ordered)


def _answers(
    loaded: LoadedModel, prompts: Sequence[np.ndarray], limit: int, choose: Choose, advance: Callable[[int], None]
) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for start in range(0, len(order), BATCH):
        members = order[start : start + BATCH]
        _continue_batch(loaded, members, prompts, limit, choose, answers)
        advance(len(members))
    return answers


def new_cache(model: Any) -> Any:
    """An empty key-value cache; a composed model brings its own kind."""
    new = getattr(model, "new_cache", None)
    return new() if new else DynamicCache(config=causal_lm(model).config)


def _left_padded(prompts: Sequence[np.ndarray], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


class CachedSteps:
    """Step-by-step generation with a key-value cache: logits of each row's next token."""

    def __init__(self, model: Any, prompts: Sequence[np.ndarray], device: torch.device) -> None:
        self.model, self.cache = model, new_cache(model)
        self.ids, self.mask = _left_padded(prompts, device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp_min(0)

    def logits(self) -> torch.Tensor:
        """[B, V] for the rows that are left."""
        return self.model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.positions, past_key_values=self.cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip

    def append(self, tokens: torch.Tensor, keep: list[int]) -> None:
        """Go on with `tokens` [B]; only the rows at `keep` are left."""
        if len(keep) < len(tokens):
            index = torch.tensor(keep, device=tokens.device)
            self.cache.batch_select_indices(index)
            tokens, self.mask, self.positions = tokens[index], self.mask[index], self.positions[index]
        self.ids = tokens[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=-1)
        self.positions = self.positions[:, -1:] + 1


class WholeSteps:
    """Step-by-step generation without a cache: each step runs the whole row again."""

    def __init__(self, loaded: LoadedModel, prompts: Sequence[np.ndarray]) -> None:
        self.loaded, self.sequences = loaded, [np.asarray(prompt) for prompt in prompts]

    def logits(self) -> torch.Tensor:
        """[B, V] for the rows that are left."""
        # A 0 is appended as the answer, because logits are computed at the position before an answer token.
        rows = [Row("", np.append(ids, 0), len(ids), len(ids), "", ends=False) for ids in self.sequences]
        return answer_logits(self.loaded.model, pack({"rows": rows}).to(self.loaded.device), self.loaded.layout)

    def append(self, tokens: torch.Tensor, keep: list[int]) -> None:
        """Go on with `tokens` [B]; only the rows at `keep` are left."""
        chosen = tokens.tolist()
        self.sequences = [np.append(self.sequences[row], chosen[row]) for row in keep]


def _continue_batch(
    loaded: LoadedModel,
    members: list[int],
    prompts: Sequence[np.ndarray],
    limit: int,
    choose: Choose,
    answers: list[list[int]],
) -> None:
    config = causal_lm(loaded.model).config
    room = getattr(config.get_text_config(), "max_position_embeddings", None) or float("inf")
    alive = [i for i in members if len(prompts[i]) < room]
    if not alive:
        return
    begun = [prompts[i] for i in alive]
    cached = loaded.layout.caches
    steps = CachedSteps(loaded.model, begun, loaded.device) if cached else WholeSteps(loaded, begun)
    running = [True] * len(alive)
    for _ in range(limit):
        chosen = choose(steps.logits())
        for row, token in enumerate(chosen.tolist()):
            if running[row] and token not in loaded.stop_ids:
                answers[alive[row]].append(token)
                # A row stops at the model's last position. Rows have different prompts, so they reach it at different steps.
                running[row] = len(prompts[alive[row]]) + len(answers[alive[row]]) < room
            else:
                running[row] = False
        if not any(running):
            return
        keep = list(range(len(running)))
        if running.count(False) * LEAVE >= len(running):
            keep = [row for row, on in enumerate(running) if on]
        steps.append(chosen, keep)
        alive, running = [alive[row] for row in keep], [running[row] for row in keep]
