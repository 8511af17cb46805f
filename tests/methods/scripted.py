"""A workbench over a model of one tensor w, in which the steps of a procedure can be worked out by hand.

The model knows two tokens. A row is its slope a: the log-odds of its answer, token 0, are a sum(w), so that its probability
is p = 1 / (1 + exp(-a sum(w))) and d log p / dw = a (1 - p). Rows come in their order, one in each step. The base method
adds `learned` to w. A learning rate falls from its peak in equal steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.outputs import Outputs
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.workbench import Workbench


def p(log_odds: float) -> float:
    """The probability at these log-odds."""
    return 1 / (1 + math.exp(-log_odds))


@dataclass(frozen=True)
class Slope:
    """A row."""

    a: float
    with_question: bool = False  # whether its question is scored as well

    @property
    def id(self) -> str:
        return str(self.a)

    @property
    def whole(self) -> Slope:
        return Slope(self.a, with_question=True)


class Scripted(Workbench):
    """See above. `seen` has (slope, w, whether the question is scored) of each row in each pass of the model itself."""

    def __init__(
        self, w: Any, *, forget: Sequence[float] = (1.0,), retain: Sequence[float] = (1.0,), learned: float = 0.0
    ) -> None:
        model = torch.nn.Module()
        model.w = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))
        rows = SimpleNamespace(forget=[Slope(a) for a in forget], retain=[Slope(a) for a in retain])
        trainer = SimpleNamespace(passes=SimpleNamespace(rows=rows), pairing=Pairing(0, len(forget), len(retain), 1, 1))
        loaded = SimpleNamespace(model=model, config=SimpleNamespace(hidden_size=1))

        def schedule(step: int, steps: int, peak: float) -> float:
            return peak * (1 - step / steps)

        super().__init__(loaded, trainer, 1.0, 1e-3, schedule)  # type: ignore[arg-type]
        self.learned, self.seen, self.unlearned = learned, [], []

    @property
    def w(self) -> float:
        """The sum of w."""
        return float(self.model.w.detach().sum())

    def unlearn(self, **rows: Any) -> Any:
        self.unlearned.append(rows)
        with torch.no_grad():
            self.model.w.add_(self.learned)
        return iter(())

    def unlearn_steps(self, rows: int | None = None) -> int:
        return 0

    def drop_adapter(self, *, merge: bool) -> None:
        assert merge, "what the base method learned stays"

    def without_adapter(self) -> Any:
        return nullcontext()

    def weights(self, kind: str = "all") -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def base_values(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.weights().items()}

    def copy(self) -> Any:
        return copy.deepcopy(self.model).requires_grad_(False)

    def outputs(self, rows: Any, *, model: Any = None, **needs: Any) -> Outputs:
        if model is None:
            self.seen += [(row.a, self.w, row.with_question) for row in rows]
        odds = torch.tensor([row.a for row in rows], dtype=torch.float64) * (model or self.model).w.sum()
        logits = torch.stack([odds, torch.zeros_like(odds)], -1)[:, None]
        mask = torch.ones(len(rows), 1, dtype=torch.bool)
        return Outputs(logits.log_softmax(-1)[..., 0], torch.zeros(len(rows), 1, dtype=torch.long), mask, logits)

    def forget_batch(self, step: int) -> Any:
        return [self.forget[step % len(self.forget)]]

    def retain_batch(self, step: int) -> Any:
        return [self.retain[step % len(self.retain)]]
