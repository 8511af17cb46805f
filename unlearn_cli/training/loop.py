"""The training loop: a generator of step records.

Losses come back as one number for each row and are averaged here over the whole optimiser step, so that micro-batches
and accumulation change nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.contract import Method, RetainTerm
from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError
from unlearn_cli.models.forward import Layout, forward
from unlearn_cli.models.reference import StoredReference
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.pairing import Pairing

GROUP_OF_ROLE = {
    "policy": "forget",
    "reference": "forget",
    "alternative": "alternative",
    "alternative_reference": "alternative",
}


class Diverged(UnlearnError):
    """A loss or gradient that is not finite. The weights are those before the step."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(
            f"diverged at step {step}: the {what} is not finite",
            "try a smaller --learning-rate or a larger --retain-weight; npo and simnpo are bounded, grad-ascent is not",
            EXIT_DIVERGED,
        )
        self.step = step


@dataclass(frozen=True)
class Objective:
    """A method and a retain term, with their parameters and weights."""

    method: Method
    retain_term: RetainTerm
    parameters: Mapping[str, Any]
    retain_parameters: Mapping[str, Any]
    forget_weight: float
    retain_weight: float

    @property
    def groups(self) -> tuple[str, ...]:
        """Which rows of a step must be run: forget, alternative, retain."""
        needed = {GROUP_OF_ROLE[role] for role in self.method.needs}
        if self.retain_term.needs:
            needed.add("retain")
        return tuple(group for group in ("forget", "alternative", "retain") if group in needed)

    @property
    def stored_groups(self) -> tuple[str, ...]:
        """Groups whose reference log-probabilities are computed before training."""
        roles = ("reference", "alternative_reference")
        return tuple(GROUP_OF_ROLE[r] for r in roles if r in self.method.needs and r not in self.method.logits)

    @property
    def live_groups(self) -> tuple[str, ...]:
        """Groups whose reference is run in every step, because whole distributions are needed."""
        live = [GROUP_OF_ROLE[r] for r in ("reference", "alternative_reference") if r in self.method.logits]
        return (*live, *(("retain",) if "reference" in self.retain_term.needs else ()))

    @property
    def logit_groups(self) -> frozenset[str]:
        """Groups whose Outputs carry logits."""
        return frozenset({GROUP_OF_ROLE[role] for role in self.method.logits} | ({"retain"} & self._retain_logits))

    @property
    def _retain_logits(self) -> set[str]:
        return {"retain"} if self.retain_term.logits else set()

    def forget_losses(self, policy: Mapping[str, Outputs], reference: Mapping[str, Outputs]) -> Tensor:
        """Losses [B] of the forget rows; both mappings are from group to Outputs."""
        source = {"policy": policy, "alternative": policy, "reference": reference, "alternative_reference": reference}
        return self.method(*(source[role][GROUP_OF_ROLE[role]] for role in self.method.needs), **self.parameters)

    def retain_losses(self, policy: Mapping[str, Outputs], reference: Mapping[str, Outputs]) -> Tensor:
        """Losses [B'] of the retain rows."""
        source = {"policy": policy, "reference": reference}
        return self.retain_term(*(source[r]["retain"] for r in self.retain_term.needs), **self.retain_parameters)


@dataclass(frozen=True)
class Rows:
    """Everything that training draws from."""

    forget: Sequence[Row]
    alternatives: Sequence[Sequence[Row]]  # of each forget row; empty if the method needs none
    retain: Sequence[Row]


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step, in plain numbers."""

    step: int  # from 1
    epoch: float
    loss: float
    forget_loss: float
    retain_loss: float | None
    grad_norm: float  # before clipping
    learning_rate: float
    tokens: int  # tokens run with gradient
    computed: int  # those and padding
    seconds: float


@dataclass
class Trainer:
    """What a step needs; `train` is the loop over it."""

    model: Any
    layout: Layout
    device: torch.device
    objective: Objective
    rows: Rows
    pairing: Pairing
    stored: StoredReference
    reference_weights: Callable[[Any], AbstractContextManager]
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]  # learning rate of a step, from 0
    steps: int
    accumulation: int = 1
    max_grad_norm: float = 1.0
    parameters: list[torch.nn.Parameter] = field(default_factory=list)

    def train(self, start: int = 0) -> Iterator[StepRecord]:
        """Run the steps from `start` on; the weights are those after each record as it is yielded.

        Raises:
            Diverged: a loss or gradient is not finite; the step is not taken.
        """
        self.model.train()
        for step in range(start, self.steps):
            yield self._step(step)

    def _step(self, step: int) -> StepRecord:
        began = time.perf_counter()
        drawn = self.pairing.forget(step)
        kept = self.pairing.retain(step) if "retain" in self.objective.groups else []
        forget_sum = retain_sum = 0.0
        tokens = computed = 0
        for part in range(self.accumulation):
            some, others = drawn[part :: self.accumulation], kept[part :: self.accumulation]
            if not some and not others:
                continue
            forget, retain, run = self._losses(some, others)
            loss = self.objective.forget_weight * forget.sum() / len(drawn)
            forget_sum += float(forget.detach().sum())
            if retain is not None:
                loss = loss + self.objective.retain_weight * retain.sum() / len(kept)
                retain_sum += float(retain.detach().sum())
            if not math.isfinite(float(loss.detach())):
                self.optimizer.zero_grad(set_to_none=True)
                raise Diverged(step + 1, "loss")
            loss.backward()
            tokens += run[0]
            computed += run[1]
        norm = self._update(step)
        forget_loss = forget_sum / len(drawn)
        retain_loss = retain_sum / len(kept) if kept else None
        total = self.objective.forget_weight * forget_loss + self.objective.retain_weight * (retain_loss or 0.0)
        epoch = (step + 1) * self.pairing.batch / self.pairing.forget_rows
        seconds = time.perf_counter() - began
        return StepRecord(step + 1, epoch, total, forget_loss, retain_loss, norm, self.rate(step), tokens, computed, seconds)

    def _losses(self, drawn: list[tuple[int, int]], kept: list[int]) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
        chosen = {"forget": [self.rows.forget[row] for _, row in drawn]}
        keys = {"forget": [("forget", row) for _, row in drawn]}
        if "alternative" in self.objective.groups:
            # Each pass over the forget rows takes the next alternative of each.
            numbers = [(row, epoch % len(self.rows.alternatives[row])) for epoch, row in drawn]
            chosen["alternative"] = [self.rows.alternatives[row][n] for row, n in numbers]
            keys["alternative"] = [(f"alternative {row}", n) for row, n in numbers]
        chosen["retain"] = [self.rows.retain[row] for row in kept]
        batch = pack({group: chosen[group] for group in self.objective.groups if chosen[group]}).to(self.device)
        policy = forward(self.model, batch, self.layout, logits=self.objective.logit_groups)
        reference = self._live_reference(chosen)
        for group in self.objective.stored_groups:
            reference[group] = self.stored.outputs(keys[group], policy[group])
        forget = self.objective.forget_losses(policy, reference)
        retain = self.objective.retain_losses(policy, reference) if "retain" in policy else None
        lengths = batch.row_offsets.diff()
        computed = batch.tokens if self.layout.packed else int(lengths.max()) * len(lengths)
        return forget, retain, (batch.tokens, computed)

    def _live_reference(self, chosen: Mapping[str, Sequence[Row]]) -> dict[str, Outputs]:
        groups = {group: chosen[group] for group in self.objective.live_groups if chosen[group]}
        if not groups:
            return {}
        batch = pack(groups).to(self.device)
        with torch.no_grad(), self.reference_weights(self.model):
            return forward(self.model, batch, self.layout, logits=self.objective.logit_groups & set(groups))

    def _update(self, step: int) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        if not math.isfinite(float(norm)):
            self.optimizer.zero_grad(set_to_none=True)
            raise Diverged(step + 1, "gradient")
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)
