"""The gradient of one step. A robust rule may compute it term by term, and at other weights or hidden states."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from unlearn_cli import launched
from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError, out_of_memory
from unlearn_cli.models import ranks
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.passes import EpochRow, Passes
from unlearn_cli.training.target import gate, likelihood_weights

TermName = Literal["forget", "retain"]


class Diverged(UnlearnError):
    """A loss or a gradient is not finite. The weights are those before the step."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(
            f"diverged at step {step}: the {what} is not finite",
            "a smaller learning rate",
            EXIT_DIVERGED,
        )
        self.step = step


@dataclass
class Share:
    """The sums of one process over its rows of a step."""

    total: float = 0.0  # of the weighted loss
    sums: dict[str, float] = field(default_factory=dict)  # losses of each term
    tokens: int = 0
    computed: int = 0
    retain_tokens: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def add(self, term: TermName, losses: Tensor) -> None:
        """Add losses [B] to the sum of a term."""
        self.sums[term] = self.sums.get(term, 0.0) + float(losses.detach().sum())


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
    parts: int  # micro-batches, of all processes together
    state: dict[str, Any]  # tensors and numbers that a rule keeps from step to step; part of a checkpoint
    level: float | None = None  # probability to which forget rows are lowered; None: no limit
    seen: dict[int, float] | None = None  # forget row -> probability of its answer in this step's pass
    sums: dict[str, float] = field(default_factory=dict)  # losses of each term, as first computed in this step
    tokens: int = 0
    computed: int = 0
    retain_tokens: int = 0

    def backward(self, term: TermName | None = None) -> float:
        """Add the gradient of a weighted term over the whole step (None: of both) to `.grad`; returns the weighted loss.

        Raises:
            Diverged: the loss is not finite.
        """
        objective = self.passes.objective
        with self._shared() as share:
            for forget, retain, counts in self._passes_of(term):
                outputs = self.passes.run(forget, retain)
                loss = torch.zeros((), device=self.passes.device)
                if forget:
                    losses = objective.forget_losses(outputs.policy, outputs.reference, self.progress)
                    losses = self._gated(losses, forget, outputs.policy.get("forget"), share)
                    loss = loss + counts[0] * objective.forget_weight * losses.sum() / len(self.forget)
                    if counts[0]:
                        share.add("forget", losses)
                if retain:
                    losses = objective.retain_losses(outputs.policy, outputs.reference, self.progress)
                    loss = loss + counts[1] * self.retain_weight * losses.sum() / len(self.retain)
                    if counts[1]:
                        share.add("retain", losses)
                share.total += float(loss.detach())
                if not math.isfinite(share.total) and not launched.divided():
                    break
                if loss.requires_grad:
                    loss.backward()
                of_retain = outputs.retain_tokens
                share.tokens += counts[0] * (outputs.tokens - of_retain) + counts[1] * of_retain
                share.computed += outputs.computed
                share.retain_tokens += counts[1] * of_retain
        return share.total

    def _passes_of(self, term: TermName | None) -> Iterator[tuple[Sequence[EpochRow], Sequence[int], tuple[bool, bool]]]:
        """The forget and retain rows of each pass of this process, and whether they count.

        A process has every n-th row of the step, in as many passes as it takes to keep a pass as large as in one process.
        """
        first, processes = ranks.rank(), ranks.count()
        parts = -(-self.parts // processes)
        for part in range(first, parts * processes, processes):
            forget = self.forget[part :: parts * processes] if term != "retain" else []
            retain = self.retain[part :: parts * processes] if term != "forget" else []
            counts = bool(forget), bool(retain)
            if launched.divided():  # all processes run the model equally often: without rows, on one that does not count
                forget = forget or (self.forget[:1] if term != "retain" else [])
                retain = retain or (self.retain[:1] if term != "forget" else [])
            if forget or retain:
                yield forget, retain, counts

    @contextmanager
    def _shared(self) -> Iterator[Share]:
        """A context for this process's share of a gradient. At its end `.grad`, the counts and the loss are those of all.

        Raises:
            Diverged: the loss is not finite.
        """
        earlier = self.collect() if ranks.count() > 1 else []  # is the sum over all processes already
        own, error = Share(), None
        try:
            yield own
        except Exception as raised:
            if ranks.count() == 1 or launched.divided() or out_of_memory(raised) is None:
                raise  # of a divided model, the others are in the middle of a pass
            error = str(raised)
        shares = ranks.gathered((own, error))
        if any(error for _, error in shares):  # all repeat the step, so that all stay equal
            raise MemoryError(next(error for _, error in shares if error))
        for share, _ in shares:
            self._count(share)
        own.total = sum(share.total for share, _ in shares)
        if not math.isfinite(own.total):
            self.zero()
            raise Diverged(self.step + 1, "loss")
        if earlier:
            self.put([a + b for a, b in zip(earlier, ranks.added(self.collect()), strict=True)])
        self.sums = {**_added([share.sums for share, _ in shares]), **self.sums}

    def _count(self, share: Share) -> None:
        """Add the counts of one process to those of the step."""
        self.tokens += share.tokens
        self.computed += share.computed
        self.retain_tokens += share.retain_tokens
        if self.seen is not None:
            self.seen.update(share.seen)

    def _gated(self, losses: Tensor, rows: Sequence[EpochRow], policy: Outputs | None, share: Share) -> Tensor:
        """Losses [B] of forget rows, each weighted by how far its row is above the level; see `training.target`."""
        answers = self.passes.objective.positions.get("forget") == "answer"  # else their tokens are not those of the level
        if self.level is None or policy is None or policy.token_logps is None or not answers:
            return losses
        logps = policy.mean_logps.detach()
        share.seen.update({row: float(p) for (_, row), p in zip(rows, logps.exp(), strict=True)})
        return losses * gate(logps, self.level) - likelihood_weights(logps, self.level) * policy.mean_logps

    def take_largest(self) -> float:
        """The largest absolute element of `.grad`, which is empty afterwards."""
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
        """A context in which `function` is applied to the policy's hidden states [1, N, H] after the block at `depth`.

        Rows share no tokens there: each row has its own hidden states for `function` to change.
        """
        passes = self.passes
        self.passes = replace(passes, layout=replace(passes.layout, shares=False))
        try:
            with passes.replace_hidden(function, depth):
                yield
        finally:
            self.passes = passes


def _added(sums: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The sum of each term."""
    return {term: sum(one.get(term, 0.0) for one in sums) for term in dict.fromkeys(name for one in sums for name in one)}
