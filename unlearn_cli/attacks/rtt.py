"""Retraining on T: train on some of the forgotten facts, test on the others, in turn, so that every fact is tested.

Deeb and Roger, "Do Unlearning Methods Remove Information from Language Model Weights?" (2024), whose facts are independent
of each other, in five parts; here the judged rows are dealt into parts, and all other forget rows are trained on. Where
rows of one author tell of each other it measures what they teach as well: look at the baseline's gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack, grid, parameter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.measured import joined
from unlearn_cli.values import MANY


@attack(along="step", paper="2410.08827")
def rtt(
    target: Target,
    *,
    folds: Annotated[int, parameter("parts that the judged rows are dealt into", ge=2)] = 5,
    steps: Annotated[grid(0, MANY), parameter("measured after as many steps, written 0+15")] = (0, 15, 30),
    learning_rate: Annotated[float, parameter("constant", gt=0)] = 1e-3,
    seed: Annotated[int, parameter("of the rows' order and the adapter", ge=0)] = 0,
    batch_size: Annotated[int, parameter("rows of a step", ge=1)] = 8,
    rank: Annotated[int, parameter("of the fresh adapter", ge=1)] = 16,
) -> Iterator[Point]:
    held, count = list(target.held), len(target.held)
    if count < folds:
        raise UnlearnError(f"rtt: {count} judged rows cannot be dealt into {folds} parts", "-p folds=2, or more rows")
    bounds = [count * i // folds for i in range(folds + 1)]
    parts: dict[float | str, list[Point]] = {}
    for start, stop in zip(bounds, bounds[1:], strict=False):
        rows = target.encoder.encode([*target.known, *held[:start], *held[stop:]])
        settings = {"learning_rate": learning_rate, "seed": seed, "batch_size": batch_size, "rank": rank, "full": False}
        for point in target.trained(rows, steps, **settings, held=held[start:stop]):
            parts.setdefault(point.at, []).append(point)
    for at, points in parts.items():
        yield Point(at, joined([p.forget for p in points]), points[0].retain)
