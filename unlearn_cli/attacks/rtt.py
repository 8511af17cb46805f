"""Retraining on T: train on some of the forgotten facts, test on the others; each fact is tested once.

Deeb and Roger, "Do Unlearning Methods Remove Information from Language Model Weights?" (2024), whose facts are
independent of each other, in five parts. Here the judged rows are split into parts; all other forget rows are training
rows. If rows contain facts of other rows, the attack also measures what they teach: look at the baseline's gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from unlearn_cli.attacks._target import FineTuning, Place, Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.measured import joined
from unlearn_cli.values import MANY

Steps = Annotated[tuple[int, ...], WholeNumbers(0, MANY), parameter("measured after these numbers of steps, written 0+15")]


@attack(along="step", paper="2410.08827")
def rtt(
    target: Target,
    *,
    folds: Annotated[int, parameter("parts that the judged rows are split into", ge=2)] = 5,
    steps: Steps = (0, 15, 30),
    learning_rate: Annotated[float, parameter("constant", gt=0)] = 1e-3,
    seed: Annotated[int, parameter("seed of the rows' order and the adapter", ge=0)] = 0,
    batch_size: Annotated[int, parameter("rows of a step", ge=1)] = 8,
    rank: Annotated[int, parameter("of the fresh adapter", ge=1)] = 16,
) -> Iterator[Point]:
    judged = target.data.eval_forget
    if len(judged) < folds:
        raise UnlearnError(
            f"rtt: {len(judged)} judged rows cannot be split into {folds} parts",
            "-p folds=2, or a run that forgot more rows",
        )
    bounds = [len(judged) * i // folds for i in range(folds + 1)]
    tuning = FineTuning(learning_rate, seed, batch_size, rank)
    folds_at: dict[Place, list[Point]] = {}
    for start, stop in pairwise(bounds):
        rows = target.encoder.encode([*target.data.train_forget, *judged[:start], *judged[stop:]])
        for point in target.fine_tune(rows, steps, tuning, judged[start:stop]):
            folds_at.setdefault(point.at, []).append(point)
    for at, points in folds_at.items():
        yield Point(at, joined([p.forget for p in points]), points[0].retain)
