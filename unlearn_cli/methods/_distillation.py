"""The common part of procedures that unlearn first, and then distill a copy of the model into all weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.data.tokenize import Row
from unlearn_cli.retain_terms.kl import kl


def steps(bench: Any, *, epochs: float, **others: Any) -> int:
    """Number of steps: those of the base method, and then `epochs` passes over the forget rows."""
    return bench.unlearn_steps() + bench.steps_in(epochs)


def divergence(bench: Any, teacher: Any, rows: Sequence[Row]) -> Tensor:
    """Mean KL divergence of the model from `teacher` over all tokens of `rows`; the teacher gets no gradient."""
    whole = [row.whole for row in rows]
    with torch.no_grad():
        target = bench.outputs(whole, model=teacher, logits=True)
    return kl(bench.outputs(whole, logits=True), target).mean()
