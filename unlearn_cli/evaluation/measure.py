"""Run a model over a split once, and store everything that the metrics need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlearn_cli.data.tokenize import Row
from unlearn_cli.measured import Measured, compressed_length
from unlearn_cli.models.generate import Sampling, greedy, sample
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import TokenScores, answers_scored, gradient_norms

OtherAnswers = Sequence[tuple[Row | None, Sequence[Row]]]
Advance = Callable[[int], None]
SEED = 0  # of sampled answers: equal weights give equal samples


def spread(count: int, limit: int) -> list[int]:
    """`limit` of `count` indices, evenly spread and in order; all of them if the limit is 0 or at least the count."""
    if limit == 0 or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


@dataclass(frozen=True)
class Plan:
    """What to measure beside the probability of the answers."""

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

    def work(self, rows: int, other_answers: OtherAnswers) -> int:
        """Total amount of work that `advance` counts: rows, their other answers, gradients, and generated answers."""
        answers = sum((paraphrased is not None) + len(wrong) for paraphrased, wrong in other_answers)
        return rows * (1 + self.grad_norms) + answers + len(self.answered(rows)) * (1 + self.samples)


@dataclass(frozen=True)
class Questions:
    """R questions of a split with their answers."""

    split: str
    rows: Sequence[Row]  # R
    prompts: Sequence[str]  # R, for people to read
    rows_in_split: int
    # For each row its question with the paraphrased answer, if there is one, and with wrong answers. Empty: not measured.
    other_answers: OtherAnswers = ()

    def with_all_answers(self) -> list[list[Row]]:
        """For each question its rows: the true answer, the paraphrased one if there is one, and the wrong ones."""
        other_answers = self.other_answers or [(None, ())] * len(self.rows)
        return [
            [row, *([paraphrased] if paraphrased else []), *wrong]
            for row, (paraphrased, wrong) in zip(self.rows, other_answers, strict=True)
        ]


def measure(loaded: LoadedModel, questions: Questions, plan: Plan, advance: Advance = lambda n: None) -> Measured:
    """Measure the true answers teacher-forced, and everything that `plan` adds.

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        questions: rows of a split.
        plan: what to measure.
        advance: called with the amount of work since the last call; the sum is `plan.work`.
    """
    training = loaded.model.training
    loaded.model.eval()
    rows, answers = questions.rows, questions.with_all_answers()
    scores = answers_scored(loaded, answers, plan.token_budget, advance)
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
    first = np.cumsum([0, *map(len, answers)])[:-1]
    return Measured(
        split=questions.split,
        ids=tuple(row.id for row in rows),
        prompts=tuple(questions.prompts),
        references=tuple(row.gold for row in rows),
        generations=tuple(generations),
        **_tokens(scores, first),
        ends=np.array([row.ends for row in rows]),
        rows_in_split=questions.rows_in_split,
        **_other_answers(scores, first, questions.other_answers),
        samples=tuple(samples) if drawn else None,
        grad_norms=norms,
        zlib_bytes=_compressed(rows) if any(row.zlib_bytes for row in rows) else None,
        tokens_run=scores.tokens_run,
        tokens_needed=scores.tokens_needed,
        tokens_generated=sum(map(len, written)) + sum(len(ids) for each in drawn or () for ids in each),
    )


def _sampled(loaded: LoadedModel, starts: Sequence[np.ndarray], plan: Plan, advance: Advance) -> list[list[list[int]]]:
    sampling = Sampling(plan.temperature, plan.samples, SEED, plan.top_p)
    return sample(loaded, starts, plan.max_new_tokens, sampling, advance)


def _text(loaded: LoadedModel, ids: list[int]) -> str:
    return loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()


def _tokens(scores: TokenScores, first: np.ndarray) -> dict[str, Any]:
    """The token arrays of the true answers; `first` is their places among all scored answers."""
    names = ("token_logps", "is_argmax", "mu", "sigma")
    arrays = {name: np.concatenate([getattr(scores, name)[i] for i in first]) for name in names}
    lengths = [len(scores.token_logps[i]) for i in first]
    return arrays | {"offsets": np.cumsum([0, *lengths]).astype(np.int64)}


def _other_answers(scores: TokenScores, first: np.ndarray, other_answers: OtherAnswers) -> dict[str, Any]:
    """Mean log-probabilities of paraphrased [R] and wrong answers [R, K], and the paraphrases."""
    if not other_answers:
        return {}
    means = np.full((len(other_answers), 1 + max(len(wrong) for _, wrong in other_answers)), np.nan)
    for row, (paraphrased, wrong) in enumerate(other_answers):
        index = int(first[row]) + 1
        for column in ([0] if paraphrased else []) + list(range(1, len(wrong) + 1)):
            means[row, column] = scores.token_logps[index].astype(np.float64).mean()
            index += 1
    paraphrases = tuple(paraphrased.gold if paraphrased else None for paraphrased, _ in other_answers)
    return {"paraphrased_logps": means[:, 0], "perturbed_logps": means[:, 1:], "paraphrases": paraphrases}


def _compressed(rows: Sequence[Row]) -> np.ndarray:
    """[R] length of the scored text of each row under zlib."""
    return np.array([row.zlib_bytes or compressed_length(row.gold) for row in rows])
