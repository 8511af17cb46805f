"""Generate answers in batches, greedy or sampled, longest prompts first; with a key-value cache if that is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.cached_steps import CachedSteps
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.forward import answer_logits
from unlearn_cli.models.load import LoadedModel

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
