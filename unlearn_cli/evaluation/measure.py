"""Run a model once over a split and keep what every metric needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unlearn_cli.data.tokenize import Row
from unlearn_cli.measured import Measured
from unlearn_cli.models.generate import greedy, sample
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import TokenScores, answers_scored, gradient_norms

Others = Sequence[tuple[Row | None, Sequence[Row]]]
Advance = Callable[[int], None]
SEED = 0  # of sampled answers: equal weights give equal samples


def spread(count: int, limit: int) -> list[int]:
    """`limit` of `count` indices, evenly spread and in order; all of them if the limit is 0 or no less than the count."""
    if limit == 0 or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


@dataclass(frozen=True)
class Plan:
    """What is measured of a split beside the probability of its answers."""

    generate: int  # rows answered by greedy generation, evenly spread; 0: all; -1: none
    max_new_tokens: int  # longest generated answer
    token_budget: int  # tokens of one teacher-forced pass
    samples: int = 0  # sampled answers to each answered row
    temperature: float = 1.0
    top_p: float = 1.0
    grad_norms: bool = False

    def answered(self, rows: int) -> list[int]:
        """Indices of the rows that are answered."""
        return [] if self.generate < 0 else spread(rows, self.generate)

    def work(self, rows: int, others: Others) -> int:
        """What `advance` will be told in all: rows, their other answers, gradients and answers."""
        answers = sum((own is not None) + len(wrong) for own, wrong in others)
        return rows * (1 + self.grad_norms) + answers + len(self.answered(rows)) * (1 + self.samples)


def measure(
    loaded: LoadedModel,
    split: str,
    rows: Sequence[Row],
    prompts: Sequence[str],
    plan: Plan,
    *,
    rows_in_split: int,
    advance: Advance = lambda n: None,
    others: Others = (),
) -> Measured:
    """Teacher-forced scores of `rows`, and what else `plan` asks for.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        split: name of the split.
        rows: R rows of the split.
        prompts: R texts to show beside the rows.
        plan: what is measured.
        rows_in_split: how many rows the split has in all.
        advance: told how much is done, `plan.work` in all.
        others: for each row its question with the paraphrased answer, if there is one, and with wrong answers; empty if
            there are none.
    """
    training = loaded.model.training
    loaded.model.eval()
    beside = others or [(None, ())] * len(rows)
    questions = [[row, *([own] if own else []), *wrong] for row, (own, wrong) in zip(rows, beside, strict=True)]
    scores = answers_scored(loaded, questions, plan.token_budget, advance)
    answered = plan.answered(len(rows))
    starts = [rows[i].prompt_ids for i in answered]
    written = greedy(loaded, starts, plan.max_new_tokens, advance) if answered else []
    drawn = _sampled(loaded, starts, plan, advance) if answered and plan.samples else None
    norms = gradient_norms(loaded, rows, advance) if plan.grad_norms else None
    loaded.model.train(training)
    generations: list[str | None] = [None] * len(rows)
    samples: list[tuple[str, ...]] = [()] * len(rows)
    for place, i in enumerate(answered):
        generations[i] = _text(loaded, written[place])
        if drawn:
            samples[i] = tuple(_text(loaded, ids) for ids in drawn[place])
    first = np.cumsum([0, *map(len, questions)])[:-1]
    return Measured(
        split=split,
        ids=tuple(row.id for row in rows),
        prompts=tuple(prompts),
        references=tuple(row.gold for row in rows),
        generations=tuple(generations),
        **_tokens(scores, first),
        ends=np.array([row.ends for row in rows]),
        rows_in_split=rows_in_split,
        **_others(scores, first, others),
        samples=tuple(samples) if drawn else None,
        grad_norms=norms,
        zlib_bytes=np.array([row.zlib_bytes for row in rows]) if rows[0].zlib_bytes else None,
        tokens_run=scores.tokens_run,
        tokens_needed=scores.tokens_needed,
        tokens_generated=sum(map(len, written)) + sum(len(ids) for each in drawn or () for ids in each),
    )


def _sampled(loaded: LoadedModel, starts: Sequence[np.ndarray], plan: Plan, advance: Advance) -> list[list[list[int]]]:
    return sample(
        loaded, starts, plan.max_new_tokens, temperature=plan.temperature, top_p=plan.top_p, count=plan.samples,
        seed=SEED, advance=advance,
    )  # fmt: skip


def _text(loaded: LoadedModel, ids: list[int]) -> str:
    return loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()


def _tokens(scores: TokenScores, first: np.ndarray) -> dict[str, np.ndarray]:
    """The token arrays of the true answers, which stand at `first` among all that were scored."""
    names = ("token_logps", "is_argmax", "mu", "sigma")
    made = {name: np.concatenate([getattr(scores, name)[i] for i in first]) for name in names}
    lengths = [len(scores.token_logps[i]) for i in first]
    return made | {"offsets": np.cumsum([0, *lengths]).astype(np.int64)}


def _others(scores: TokenScores, first: np.ndarray, others: Others) -> dict[str, object]:
    """Mean log-probabilities of paraphrased [R] and wrong answers [R, K], and the paraphrases."""
    if not others:
        return {}
    made = np.full((len(others), 1 + max(len(wrong) for _, wrong in others)), np.nan)
    for row, (own, wrong) in enumerate(others):
        at = int(first[row]) + 1
        for column in ([0] if own else []) + list(range(1, len(wrong) + 1)):
            made[row, column] = scores.token_logps[at].astype(np.float64).mean()
            at += 1
    paraphrases = tuple(own.gold if own else None for own, _ in others)
    return {"paraphrased_logps": made[:, 0], "perturbed_logps": made[:, 1:], "paraphrases": paraphrases}
