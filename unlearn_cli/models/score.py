"""One pass over rows for everything that is read off teacher-forced answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unlearn_cli.data.batch import pack, packs
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.forward import logit_chunks
from unlearn_cli.models.load import LoadedModel

CHUNK = 256  # positions whose full distribution is held at once


@dataclass(frozen=True)
class TokenScores:
    """Answer tokens of R rows, in the order of the rows; fields as in `Measured`."""

    token_logps: list[np.ndarray]
    hits: list[np.ndarray]
    mu: list[np.ndarray]
    sigma: list[np.ndarray]


@torch.inference_mode()
def teacher_forced(
    loaded: LoadedModel, rows: Sequence[Row], token_budget: int, advance: Callable[[int], None] = lambda n: None
) -> TokenScores:
    """Score every answer token of `rows` in packs of at most `token_budget` tokens.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        rows: what to score.
        token_budget: tokens of one pass.
        advance: told how many rows are done after each pass.
    """
    made: list[tuple | None] = [None] * len(rows)
    for members in packs(rows, token_budget):
        chosen = [rows[i] for i in members]
        batch = pack({"rows": chosen}).to(loaded.device)
        targets = batch.input_ids[batch.answer_mask]
        parts, first = [], 0
        for logits in logit_chunks(loaded.model, batch, loaded.layout, CHUNK):
            parts.append(_read(logits, targets[first : first + len(logits)]))
            first += len(logits)
        columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
        bounds = np.cumsum([row.answer_length for row in chosen])[:-1]
        for i, *values in zip(members, *(np.split(column, bounds) for column in columns), strict=True):
            made[i] = tuple(values)
        advance(len(members))
    return TokenScores(*(list(column) for column in zip(*made, strict=True)))


def _read(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    logps = logits.log_softmax(-1)
    probabilities = logps.exp()
    # A token of probability 0 adds nothing, but 0 * -inf would be NaN.
    weighted = (probabilities * logps).nan_to_num(0.0)
    mu = weighted.sum(-1)
    variance = (weighted * logps).nan_to_num(0.0).sum(-1) - mu.square()
    own = logps.gather(-1, targets[:, None]).squeeze(-1)
    return own, logits.argmax(-1) == targets, mu, variance.clamp_min(0).sqrt()
