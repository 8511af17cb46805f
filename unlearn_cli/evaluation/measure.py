"""Run a model once over a split and keep what every metric needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
        advance: told how many rows are done, R + the generated ones in all.
    """
    training = loaded.model.training
    loaded.model.eval()
    scores = teacher_forced(loaded, rows, token_budget, advance)
    answered = [] if generate < 0 else spread(len(rows), generate)
    starts = [rows[i].input_ids[: rows[i].prompt_end] for i in answered]
    texts = greedy(loaded, starts, max_new_tokens, advance) if answered else []
    loaded.model.train(training)
    generations: list[str | None] = [None] * len(rows)
    for i, ids in zip(answered, texts, strict=True):
        generations[i] = loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return _assemble(split, rows, prompts, generations, scores, rows_in_split)


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
