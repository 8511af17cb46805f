"""Run a model once over a split and keep what every metric needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from unlearn_cli.data.tokenize import Row
from unlearn_cli.measured import Measured
from unlearn_cli.models.generate import greedy
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import TokenScores, teacher_forced


def spread(count: int, limit: int) -> list[int]:
    """`limit` of `count` indices, evenly spread and in order; all of them if the limit is 0 or no less than the count."""
    if limit == 0 or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def measure(
    loaded: LoadedModel,
    split: str,
    rows: Sequence[Row],
    prompts: Sequence[str],
    *,
    rows_in_split: int,
    generate: int,
    max_new_tokens: int,
    token_budget: int,
    advance: Callable[[int], None] = lambda n: None,
    others: Sequence[tuple[Row | None, Sequence[Row]]] = (),
) -> Measured:
    """Teacher-forced scores of `rows`, and greedy answers to `generate` of them (0: to all).

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        split: name of the split.
        rows: R rows of the split.
        prompts: R texts to show beside the rows.
        rows_in_split: how many rows the split has in all.
        generate: rows that are answered by greedy generation, evenly spread; -1: none.
        max_new_tokens: longest generated answer.
        token_budget: tokens of one teacher-forced pass.
        advance: told how many rows are done, R + the other answers + the generated ones in all.
        others: for each row its question with the paraphrased answer, if there is one, and with wrong answers.
    """
    training = loaded.model.training
    loaded.model.eval()
    scores = teacher_forced(loaded, rows, token_budget, advance)
    alternative = _others(loaded, others, token_budget, advance) if others else {}
    answered = [] if generate < 0 else spread(len(rows), generate)
    starts = [rows[i].input_ids[: rows[i].prompt_end] for i in answered]
    texts = greedy(loaded, starts, max_new_tokens, advance) if answered else []
    loaded.model.train(training)
    generations: list[str | None] = [None] * len(rows)
    for i, ids in zip(answered, texts, strict=True):
        generations[i] = loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return replace(_assemble(split, rows, prompts, generations, scores, rows_in_split), **alternative)


def _others(
    loaded: LoadedModel,
    others: Sequence[tuple[Row | None, Sequence[Row]]],
    token_budget: int,
    advance: Callable[[int], None],
) -> dict[str, np.ndarray]:
    """Mean log-probabilities of paraphrased [R] and wrong answers [R, K]."""
    places = [(r, k) for r, (own, wrong) in enumerate(others) for k in range(-1, len(wrong)) if k >= 0 or own is not None]
    flat = [others[r][0] if k < 0 else others[r][1][k] for r, k in places]
    made = np.full((len(others), 1 + max((len(wrong) for _, wrong in others), default=0)), np.nan)
    for (r, k), logps in zip(places, teacher_forced(loaded, flat, token_budget, advance).token_logps, strict=True):
        made[r, k + 1] = logps.astype(np.float64).mean()
    return {"paraphrased_logps": made[:, 0], "perturbed_logps": made[:, 1:]}


def _assemble(
    split: str,
    rows: Sequence[Row],
    prompts: Sequence[str],
    generations: list[str | None],
    scores: TokenScores,
    rows_in_split: int,
) -> Measured:
    return Measured(
        split=split,
        ids=tuple(row.id for row in rows),
        prompts=tuple(prompts),
        golds=tuple(row.gold for row in rows),
        generations=tuple(generations),
        token_logps=np.concatenate(scores.token_logps),
        hits=np.concatenate(scores.hits),
        mu=np.concatenate(scores.mu),
        sigma=np.concatenate(scores.sigma),
        offsets=np.concatenate([[0], np.cumsum([len(x) for x in scores.token_logps])]).astype(np.int64),
        ends=np.array([row.ends for row in rows]),
        rows_in_split=rows_in_split,
    )
