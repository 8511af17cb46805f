"""Pruning: the smallest weights become zero, in case they hide the answer.

    w <- 0 where |w| is among the smallest share of its matrix

Lucki et al., "An Adversarial Perspective on Machine Unlearning for AI Safety" (2024) prune weights that matter only to
the forget rows; here by size, which needs no data. Embeddings and head stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter


def pruned(weight: Tensor, percent: int) -> Tensor:
    """The matrix without its smallest weights."""
    count = int(weight.numel() * percent / 100)
    if count == 0:
        return weight
    smallest = weight.abs().flatten().topk(count, largest=False).indices
    sparse = weight.flatten().clone()
    sparse[smallest] = 0
    return sparse.view_as(weight)


Percent = Annotated[tuple[int, ...], WholeNumbers(0, 100), parameter("percent of each matrix, written 10+30")]


@attack(along="percent", paper="2409.18025")
def prune(
    target: Target,
    *,
    percent: Percent = (5, 10, 20, 30, 40),
) -> Iterator[Point]:
    for share in percent:
        with torch.no_grad(), target.changed_weights(partial(pruned, percent=share)):
            yield target.measure(share)
