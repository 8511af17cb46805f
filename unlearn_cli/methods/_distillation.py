"""What procedures have in common that unlearn first and then train every weight towards a copy of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.data.tokenize import Row
from unlearn_cli.retain_terms.kl import kl


def steps(bench: Any, *, epochs: float, **others: Any) -> int:
    """Number of steps: of the base method, and of `epochs` passes over the forget rows after it."""
    return bench.unlearn_steps() + bench.passes(epochs)


def divergence(bench: Any, teacher: Any, rows: Sequence[Row]) -> Tensor:
    """Mean divergence of the model from `teacher` over rows, their questions included; the teacher gets no gradient."""
    whole = [row.whole for row in rows]
    with torch.no_grad():
        target = bench.outputs(whole, model=teacher, logits=True)
    return kl(bench.outputs(whole, logits=True), target).mean()
