"""Layered unlearning: forget one fold of the rows after another, and retain the later folds meanwhile.

    stage i of k: the base method forgets folds 1..i, and retains folds i+1..k beside the retain rows

Qian et al., "Layered Unlearning for Adversarial Relearning" (2025); their public code has toy examples only. Each stage
forgets its rows in another way. So relearning some rows brings back fewer of the others. folds = 1 is the base method.
The cost is k runs of the base method, each over (k + 1) / 2k of the rows on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch

from unlearn_cli.contract import Defaults, parameter, procedure

Base = Annotated[str, parameter("the method of each stage")]


def stages(rows: int, folds: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """For each stage: indices of the forget rows to forget, and of those to retain."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed)).tolist()
    parts = [order[start::folds] for start in range(folds)]
    flat = [[row for part in parts[: stage + 1] for row in part] for stage in range(folds)]
    return [(forget, [row for part in parts[stage + 1 :] for row in part]) for stage, forget in enumerate(flat)]


def steps(bench: Any, *, base: str, folds: int) -> int:
    return sum(bench.unlearn_steps(len(forget)) for forget, _ in stages(len(bench.forget), folds, bench.seed))


@procedure(
    family="against relearning",
    paper="2505.09500",
    published={},
    because="the public code has toy examples only, and gives no number of folds for language models",
    defaults=Defaults(epochs=4),
    artifact="adapter",
    steps=steps,
)
def layered(
    bench: Any, *, base: Base = "npo", folds: Annotated[int, parameter("parts of the forget rows", ge=1)] = 3
) -> Iterator[Any]:
    for forget, retained in stages(len(bench.forget), folds, bench.seed):
        yield from bench.unlearn(forget=forget, retained=retained)
