"""Sampling: ask often and take the best answer.

    judged by the largest of n draws for each question, at temperature 1

Scholten et al., "A Probabilistic Perspective on Unlearning and Alignment for Large Language Models" (2025). The answer's
probability is not touched; ROUGE-L is that of the best draw. Bounds on what was not drawn: `unlearn evaluate --samples`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack, grid, parameter
from unlearn_cli.metrics._rouge import rouge


@attack(along="draws", paper="2410.03523", access="queries")
def sample(
    target: Target, *, draws: Annotated[grid(1, 10_000), parameter("answers to each question, written 4+16")] = (4, 16)
) -> Iterator[Point]:
    with target.standing():
        made = target.measure(0, keep=False, plan=replace(target.plan, samples=max(draws), temperature=1.0))
    for count in draws:
        best = [
            _best(gold, drawn[:count]) for gold, drawn in zip(made.forget.references, made.forget.samples or (), strict=True)
        ]
        yield Point(count, replace(made.forget, generations=tuple(best)))


def _best(gold: str, drawn: tuple[str, ...]) -> str | None:
    if not drawn:
        return None
    scores = rouge([gold] * len(drawn), drawn, kind="rougeL", part="recall", stem=True, tokenizer="latin")
    return drawn[int(np.nan_to_num(scores).argmax())]
