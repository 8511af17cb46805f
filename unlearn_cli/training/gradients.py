"""What a robust rule works with: the gradients of one step's terms, and leave to look at them from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError

TermName = Literal["forget", "retain"]
# (term or None for both, micro-batch) -> weighted loss to go backward from, sums of losses by term, and tokens: all, those
# and padding, those of retain rows
Losses = Callable[[TermName | None, int], tuple[Tensor, dict[str, float], tuple[int, int, int]] | None]


class Diverged(UnlearnError):
    """A loss or gradient that is not finite. The weights are those before the step."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(
            f"diverged at step {step}: the {what} is not finite",
            "try a smaller --learning-rate or a larger --retain-weight; npo and simnpo are bounded, grad-ascent is not",
            EXIT_DIVERGED,
        )
        self.step = step


@dataclass
class Gradients:
    """One step. A rule calls `backward` as it needs and leaves its result in `.grad` of the parameters."""

    parameters: list[torch.nn.Parameter]
    progress: float  # share of the steps that are done
    state: dict[str, Any]  # tensors and numbers that a rule keeps from step to step; part of a checkpoint
    step: int
    parts: int  # micro-batches
    losses: Losses
    replace_hidden: Callable[..., Any]  # (function, depth) -> context manager on the policy's forward pass
    sums: dict[str, float] = field(default_factory=dict)  # of each term, as first computed in this step
    tokens: int = 0
    computed: int = 0
    retain_tokens: int = 0

    def backward(self, term: TermName | None = None) -> float:
        """Add the gradient of a weighted term over the whole step (None: of both) to `.grad`; returns the weighted loss.

        Raises:
            Diverged: the loss is not finite.
        """
        total, seen = 0.0, {}
        for part in range(self.parts):
            made = self.losses(term, part)
            if made is None:
                continue
            loss, sums, (tokens, computed, kept) = made
            value = float(loss.detach())
            if not math.isfinite(value):
                self.zero()
                raise Diverged(self.step + 1, "loss")
            if loss.requires_grad:
                loss.backward()
            total += value
            for name, number in sums.items():
                seen[name] = seen.get(name, 0.0) + number
            self.tokens += tokens
            self.computed += computed
            self.retain_tokens += kept
        self.sums = {**seen, **self.sums}
        return total

    def largest(self, term: TermName) -> float:
        """Largest absolute element of a weighted term's gradient by the parameters; leaves no gradient behind.

        Raises:
            Diverged: the loss is not finite.
        """
        self.zero()
        self.backward(term)
        largest = [p.grad.abs().max() for p in self.parameters if p.grad is not None]
        self.zero()
        return float(torch.stack(largest).max()) if largest else 0.0

    def zero(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def collect(self) -> list[Tensor]:
        """Take the gradients away; zeros where there is none."""
        made = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self.zero()
        return made

    def put(self, gradients: list[Tensor]) -> None:
        """Write gradients, in the order of the parameters."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    @contextmanager
    def latent(self, function: Callable[[Tensor], Tensor], depth: float) -> Iterator[None]:
        """Meanwhile the policy's hidden state [1, N, H] after the block at `depth` is `function` of it."""
        with self.replace_hidden(function, depth):
            yield
