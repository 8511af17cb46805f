"""Teacher-forced scores of answers in one pass; and the gradient norm of each row's loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unlearn_cli.data.batch import Batch, pack, pack_shared, packs, shared_length, template_length
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.forward import forward, logit_chunks
from unlearn_cli.models.load import LoadedModel

CHUNK = 256  # positions whose full distribution is held at once
Advance = Callable[[int], None]
Columns = tuple[np.ndarray, ...]  # of one answer, in the order of `TokenScores`


@dataclass(frozen=True)
class TokenScores:
    """Answer tokens of R rows, in the order of the rows; fields as in `Measured`."""

    token_logps: list[np.ndarray]
    is_argmax: list[np.ndarray]
    mu: list[np.ndarray]
    sigma: list[np.ndarray]
    tokens_run: int  # tokens that went through the model
    tokens_needed: int  # each question once and each answer once


def teacher_forced(
    loaded: LoadedModel, rows: Sequence[Row], token_budget: int, advance: Advance = lambda n: None
) -> TokenScores:
    """Score every answer token of `rows`, none of which share a question. Arguments as for `answers_scored`."""
    return answers_scored(loaded, [[row] for row in rows], token_budget, advance)


def answer_probabilities(loaded: LoadedModel, rows: Sequence[Row], token_budget: int) -> np.ndarray:
    """[R] probability of each row's answer, the geometric mean over its tokens. Arguments as for `answers_scored`."""
    loaded.model.eval()
    return np.exp([float(logps.mean()) for logps in teacher_forced(loaded, rows, token_budget).token_logps])


@torch.inference_mode()
def answers_scored(
    loaded: LoadedModel, questions: Sequence[Sequence[Row]], token_budget: int, advance: Advance = lambda n: None
) -> TokenScores:
    """Score every token of the answers to each question, in packs of at most `token_budget` tokens.

    Answers to one question are run behind one copy of it, and questions with one answer behind one copy of the template's
    beginning, where the model's layout allows that.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        questions: for each question its rows, which have the same first tokens; in order they are the R scored rows.
        token_budget: tokens of one pass.
        advance: called after each pass with its number of rows.
    """
    shares = loaded.layout.shares
    first = np.cumsum([0, *map(len, questions)])
    flat = [row for answers in questions for row in answers]
    template = template_length([rows[0] for rows in questions if len(rows) == 1]) if loaded.layout.shares_in_steps else 0
    if shares:
        costs = [_cost(answers) - (template if len(answers) == 1 else 0) for answers in questions]
    else:
        costs = [len(row.input_ids) for row in flat]
    columns: list[Columns] = [()] * len(flat)
    run = 0
    for members in packs(costs, token_budget - template):
        if shares:
            groups = _groups(questions, members, template)
            at = [i for group in groups for q in group for i in range(first[q], first[q + 1])]
            batch = pack_shared([[row for q in group for row in questions[q]] for group in groups])
        else:
            at = members
            batch = pack({"rows": [flat[i] for i in members]})
        run += batch.tokens if loaded.layout.packed else batch.rows * int(batch.row_offsets.diff().max())
        lengths = [flat[i].answer_length for i in at]
        for i, values in zip(at, _scored(loaded, batch, lengths), strict=True):
            columns[i] = values
        advance(len(at))
    logps, is_argmax, mu, sigma = (list(column) for column in zip(*columns, strict=True)) if columns else ([], [], [], [])
    needed = sum(_cost(answers, again=0) for answers in questions)
    return TokenScores(logps, is_argmax, mu, sigma, tokens_run=run, tokens_needed=needed)


def _groups(questions: Sequence[Sequence[Row]], members: Sequence[int], template: int) -> list[list[int]]:
    """The questions of a pack in groups that share first tokens: a question with several answers is a group by itself."""
    several = [[q] for q in members if len(questions[q]) > 1 or not template]
    single = [q for q in members if len(questions[q]) == 1 and template]
    return [*several, single] if single else several


def _cost(answers: Sequence[Row], again: int = 1) -> int:
    """Tokens of one question with its answers; `again`: tokens of the question that each answer runs once more."""
    shared = shared_length(answers)
    repeated = shared + (1 - again if shared else 0)
    return sum(len(row.input_ids) for row in answers) - (len(answers) - 1) * repeated


def _scored(loaded: LoadedModel, batch: Batch, lengths: list[int]) -> list[Columns]:
    """For each answer of a batch its columns of `TokenScores`."""
    batch = batch.to(loaded.device)
    targets = batch.input_ids[batch.answer_mask]
    parts, first = [], 0
    for logits in logit_chunks(loaded.model, batch, loaded.layout, CHUNK):
        parts.append(read_tokens(logits, targets[first : first + len(logits)]))
        first += len(logits)
    columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
    bounds = np.cumsum(lengths)[:-1]
    return list(zip(*(np.split(column, bounds) for column in columns), strict=True))


def gradient_norms(loaded: LoadedModel, rows: Sequence[Row], advance: Advance = lambda n: None) -> np.ndarray:
    """[R] mean over the base model's parameter tensors of the 2-norm of the gradient of a row's mean loss.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        rows: R rows, one backward pass each.
        advance: called with 1 after each row.

    Raises:
        UnlearnError: the weights are quantized and have no gradient.
    """
    if loaded.quantization:
        raise UnlearnError("--grad-norms needs weights that are not quantized", "leave out --load-in-4bit or --load-in-8bit")
    if loaded.offloaded:
        raise UnlearnError("--grad-norms needs all weights on the devices that compute", "leave --grad-norms out")
    weights = [p for name, p in causal_lm(loaded.model).named_parameters() if "lora_" not in name]
    trained = [p.requires_grad for p in weights]
    norms = np.zeros(len(rows))
    try:
        for p in weights:
            p.requires_grad_(True)
        for i, row in enumerate(rows):
            scored = forward(loaded.model, pack({"rows": [row]}).to(loaded.device), loaded.layout)["rows"]
            gradients = torch.autograd.grad(-scored.mean_logps.sum(), weights, allow_unused=True)
            norms[i] = np.mean([float(g.float().norm()) for g in gradients if g is not None])
            advance(1)
    finally:
        for p, was in zip(weights, trained, strict=True):
            p.requires_grad_(was)
    return norms


def read_tokens(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of answer tokens, from their logits [n, V]: log-probability, whether it is the likeliest, mu and sigma; [n] each."""
    logps = logits.log_softmax(-1)
    probabilities = logps.exp()
    # A token of probability 0 adds nothing, but 0 * -inf would be NaN.
    weighted = (probabilities * logps).nan_to_num(0.0)
    mu = weighted.sum(-1)
    variance = (weighted * logps).nan_to_num(0.0).sum(-1) - mu.square()
    target_logps = logps.gather(-1, targets[:, None]).squeeze(-1)
    return target_logps, logits.argmax(-1) == targets, mu, variance.clamp_min(0).sqrt()
