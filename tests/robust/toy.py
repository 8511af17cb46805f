"""A stand-in for a step: two terms over one vector of weights, with gradients that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]


@dataclass
class Toy:
    """What a robust rule is given, over weights [n]; the hidden state that `latent` replaces is the weights themselves."""

    weights: torch.nn.Parameter
    forget: Loss
    retain: Loss
    state: dict[str, Any] = field(default_factory=dict)
    progress: float = 0.0
    function: Callable[[Tensor], Tensor] | None = None
    seen: list[Tensor] = field(default_factory=list)  # weights at each gradient of the forget term

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return [self.weights]

    def backward(self, term: str | None = None) -> float:
        loss = torch.zeros((), dtype=self.weights.dtype)
        if term != "retain":
            self.seen.append(self.weights.detach().clone())
            hidden = self.weights[None, None]
            loss = loss + self.forget((self.function(hidden) if self.function else hidden)[0, 0])
        if term != "forget":
            loss = loss + self.retain(self.weights)
        loss.backward()
        return float(loss)

    def zero(self) -> None:
        self.weights.grad = None

    def collect(self) -> list[Tensor]:
        gradients = [torch.zeros_like(self.weights) if self.weights.grad is None else self.weights.grad]
        self.zero()
        return gradients

    def put(self, gradients: list[Tensor]) -> None:
        (self.weights.grad,) = gradients

    @contextmanager
    def latent(self, function: Callable[[Tensor], Tensor], depth: float):
        self.function = function
        yield
        self.function = None


def toy(weights: list[float], forget: Loss, retain: Loss = lambda w: 0.0 * w.sum()) -> Toy:
    return Toy(torch.nn.Parameter(torch.tensor(weights, dtype=torch.float64)), forget, retain)


def linear(*slope: float) -> Loss:
    """A loss with this gradient everywhere."""
    return lambda w: (torch.tensor(slope, dtype=w.dtype) * w).sum()
