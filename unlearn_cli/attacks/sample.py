"""Sampling: ask often and take the best answer.

    judged by the best of n draws for each question, at temperature 1

Scholten et al., "A Probabilistic Perspective on Unlearning and Alignment for Large Language Models" (2025). The answer's
probability does not change; ROUGE-L is that of the best draw. Bounds on what was not drawn: `unlearn evaluate --samples`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.metrics._rouge import rouge

Draws = Annotated[tuple[int, ...], WholeNumbers(1, 10_000), parameter("answers to each question, written 4+16")]


@attack(along="draws", paper="2410.03523", access="queries", shows="rouge_l")
def sample(
    target: Target,
    *,
    draws: Draws = (4, 16),
) -> Iterator[Point]:
    with target.active():
        drawn = target.measure(0, retain=False, plan=replace(target.plan, samples=max(draws), temperature=1.0))
    for count in draws:
        pairs = zip(drawn.forget.references, drawn.forget.samples or (), strict=True)
        best = tuple(_best_answer(reference, answers[:count]) for reference, answers in pairs)
        yield Point(count, replace(drawn.forget, generations=best))


def _best_answer(reference: str, answers: tuple[str, ...]) -> str | None:
    if not answers:
        return None
    scores = rouge([reference] * len(answers), answers, kind="rougeL", part="recall", stem=True, tokenizer="latin")
    return answers[int(np.nan_to_num(scores).argmax())]
