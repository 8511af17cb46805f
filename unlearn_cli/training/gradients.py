"""The gradient of one step. A robust rule may compute it term by term, and at other weights or hidden states."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.passes import EpochRow, Passes
from unlearn_cli.training.target import gate

TermName = Literal["forget", "retain"]


class Diverged(UnlearnError):
    """A loss or a gradient is not finite. The weights are those before the step."""

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

    passes: Passes
    parameters: list[torch.nn.Parameter]
    forget: Sequence[EpochRow]  # rows of the step
    retain: Sequence[int]
    retain_weight: float
    step: int  # from 0
    progress: float  # share of the steps that are done
    parts: int  # micro-batches
    state: dict[str, Any]  # tensors and numbers that a rule keeps from step to step; part of a checkpoint
    level: float | None = None  # probability that forget rows are pushed to; None: as far as the method pushes
    seen: dict[int, float] | None = None  # forget row -> probability of its answer, as this step ran it
    sums: dict[str, float] = field(default_factory=dict)  # losses of each term, as first computed in this step
    tokens: int = 0
    computed: int = 0
    retain_tokens: int = 0

    def backward(self, term: TermName | None = None) -> float:
        """Add the gradient of a weighted term over the whole step (None: of both) to `.grad`; returns the weighted loss.

        Raises:
            Diverged: the loss is not finite.
        """
        objective, total = self.passes.objective, 0.0
        sums: dict[str, float] = {}
        for part in range(self.parts):
            forget = self.forget[part :: self.parts] if term != "retain" else []
            retain = self.retain[part :: self.parts] if term != "forget" else []
            if not forget and not retain:
                continue
            outputs = self.passes.run(forget, retain)
            loss = torch.zeros((), device=self.passes.device)
            if forget:
                losses = objective.forget_losses(outputs.policy, outputs.reference, self.progress)
                losses = self._gated(losses, forget, outputs.policy.get("forget"))
                loss = loss + objective.forget_weight * losses.sum() / len(self.forget)
                sums["forget"] = sums.get("forget", 0.0) + float(losses.detach().sum())
            if retain:
                losses = objective.retain_losses(outputs.policy, outputs.reference, self.progress)
                loss = loss + self.retain_weight * losses.sum() / len(self.retain)
                sums["retain"] = sums.get("retain", 0.0) + float(losses.detach().sum())
            if not math.isfinite(float(loss.detach())):
                self.zero()
                raise Diverged(self.step + 1, "loss")
            if loss.requires_grad:
                loss.backward()
            total += float(loss.detach())
            self.tokens += outputs.tokens
            self.computed += outputs.computed
            self.retain_tokens += outputs.retain_tokens
        self.sums = {**sums, **self.sums}
        return total

    def _gated(self, losses: Tensor, rows: Sequence[EpochRow], policy: Outputs | None) -> Tensor:
        """Losses [B] of forget rows, each weighted by how far its row is above the level; see `gate`."""
        if self.level is None or policy is None or policy.token_logps is None:
            return losses
        logps = policy.mean_logps.detach()
        if self.seen is not None:
            self.seen.update({row: float(p) for (_, row), p in zip(rows, logps.exp(), strict=True)})
        return losses * gate(logps, self.level)

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
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def collect(self) -> list[Tensor]:
        """Take the gradients away and return them; zeros where there is none."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self.zero()
        return gradients

    def put(self, gradients: list[Tensor]) -> None:
        """Write gradients, in the order of the parameters."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    @contextmanager
    def latent(self, function: Callable[[Tensor], Tensor], depth: float) -> Iterator[None]:
        """A context in which `function` is applied to the policy's hidden states [1, N, H] after the block at `depth`."""
        with self.passes.replace_hidden(function, depth):
            yield
