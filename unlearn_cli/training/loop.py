"""The training loop: a generator of step records.

Losses come back as one number for each row and are averaged here over the whole optimiser step, so that micro-batches
and accumulation change nothing, but for methods that declare their rows `coupled` (kto) and for `average=tokens`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.adapter import set_training
from unlearn_cli.models.depth import blocks, depth_index, replaced
from unlearn_cli.models.forward import Layout, forward
from unlearn_cli.models.reference import StoredReference
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.gradients import Diverged, Gradients, TermName
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.pairing import Pairing

PROBED = 3  # first steps in which the forget loss's own gradient is looked at


def plain(gradients: Gradients) -> None:
    """The rule `none`: the gradient of the weighted sum."""
    gradients.backward()


@dataclass(frozen=True)
class Rows:
    """Everything that training draws from."""

    forget: Sequence[Row]
    alternatives: Sequence[Sequence[Row]]  # of each forget row; empty if the method needs none
    retain: Sequence[Row]
    retain_alternatives: Sequence[Sequence[Row]] = ()  # of each retain row; empty if the retain term needs none


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
    retain_weight: float | None = None  # where it changes from step to step
    retain_tokens: int = 0  # of the tokens, those of retain rows
    forget_gradient: float | None = None  # largest element of the forget loss's own gradient; of the first steps only


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
    rule: Callable[[Gradients], None] = plain  # makes the gradient of a step
    view: Callable[[], AbstractContextManager] = nullcontext  # under which the model is what is trained
    # What goes on from step to step beside weights and optimiser: a dual variable, a rule's averages.
    state: dict[str, Any] = field(default_factory=dict)
    resumable: bool = True  # a checkpoint holds all that it needs to go on

    def train(self, start: int = 0) -> Iterator[StepRecord]:
        """Run the steps from `start` on; the weights are those after each record as it is yielded.

        Raises:
            Diverged: a loss or gradient is not finite; the step is not taken.
        """
        for step in range(start, self.steps):
            set_training(self.model)
            with self.view():
                record = self._step(step)
            yield record

    @property
    def retain_weight(self) -> float:
        """The retain term's weight in the next step."""
        return self.state.get("retain_weight", self.objective.retain_weight)

    def _step(self, step: int) -> StepRecord:
        began = time.perf_counter()
        objective, progress, weight = self.objective, step / self.steps, self.retain_weight
        drawn = self.pairing.forget(step)
        kept = self.pairing.retain(step) if objective.retain_groups else []
        gradients = Gradients(
            parameters=self.parameters,
            progress=progress,
            state=self.state.setdefault("rule", {}),
            step=step,
            parts=self.accumulation,
            losses=partial(self._weighted, drawn, kept, progress),
            replace_hidden=self._replaced,
        )
        forget_gradient = replace(gradients).largest("forget") if step < PROBED else None
        self.rule(gradients)
        norm = self._update(step)
        forget_loss = gradients.sums.get("forget", 0.0) / len(drawn)
        retain_loss = gradients.sums["retain"] / len(kept) if kept else None
        if objective.method.next_retain_weight and retain_loss is not None:
            self.state["retain_weight"] = objective.method.next_retain_weight(
                weight, retain_loss, step * self.pairing.batch / self.pairing.forget_rows, objective.parameters
            )
        return StepRecord(
            step=step + 1,
            epoch=(step + 1) * self.pairing.batch / self.pairing.forget_rows,
            loss=objective.forget_weight * forget_loss + weight * (retain_loss or 0.0),
            forget_loss=forget_loss,
            retain_loss=retain_loss,
            grad_norm=norm,
            learning_rate=self.rate(step),
            tokens=gradients.tokens,
            computed=gradients.computed,
            seconds=time.perf_counter() - began,
            retain_weight=weight if objective.method.next_retain_weight else None,
            retain_tokens=gradients.retain_tokens,
            forget_gradient=forget_gradient,
        )

    def _weighted(
        self, drawn: list[tuple[int, int]], kept: list[int], progress: float, term: TermName | None, part: int
    ) -> tuple[Tensor, dict[str, float], tuple[int, int, int]] | None:
        """A micro-batch's share of the step's weighted loss."""
        some = drawn[part :: self.accumulation] if term != "retain" else []
        others = kept[part :: self.accumulation] if term != "forget" else []
        if not some and not others:
            return None
        policy, reference, run = self._outputs(some, others)
        loss, sums = torch.zeros((), device=self.device), {}
        if some:
            forget = self.objective.forget_losses(policy, reference, progress)
            loss = loss + self.objective.forget_weight * forget.sum() / len(drawn)
            sums["forget"] = float(forget.detach().sum())
        if others:
            retain = self.objective.retain_losses(policy, reference, progress)
            loss = loss + self.retain_weight * retain.sum() / len(kept)
            sums["retain"] = float(retain.detach().sum())
        return loss, sums, run

    def _outputs(
        self, drawn: list[tuple[int, int]], kept: list[int]
    ) -> tuple[dict[str, Outputs], dict[str, Outputs], tuple[int, int, int]]:
        """Policy and reference by group, and the tokens that were run: all, with padding, and of retain rows."""
        objective = self.objective
        chosen, keys = self._chosen(drawn, kept)
        chosen = {group: chosen[group] for group in objective.groups if chosen.get(group)}
        batch = pack(chosen).to(self.device)
        layers = {group: numbers for group, numbers in objective.hidden_layers.items() if group in chosen}
        policy = forward(
            self.model, batch, self.layout, logits=objective.logit_groups, hidden=layers, head=objective.head,
            mlp=objective.mlp_groups,
        )  # fmt: skip
        reference = self._live_reference(chosen)
        for group in objective.stored_groups:
            if group in chosen:
                reference[group] = self.stored.outputs(keys[group], policy[group])
        lengths = batch.row_offsets.diff()
        computed = batch.tokens if self.layout.packed else int(lengths.max()) * len(lengths)
        kept_tokens = sum(len(row.input_ids) for group in chosen if group.startswith("retain") for row in chosen[group])
        return policy, reference, (batch.tokens, computed, kept_tokens)

    def _chosen(self, drawn: list[tuple[int, int]], kept: list[int]) -> tuple[dict[str, list[Row]], dict[str, list]]:
        chosen = {"forget": [self.rows.forget[row] for _, row in drawn], "retain": [self.rows.retain[row] for row in kept]}
        keys: dict[str, list] = {"forget": [("forget", row) for _, row in drawn]}
        if "alternative" in self.objective.groups:
            # Each pass over the forget rows takes the next alternative of each.
            numbers = [(row, epoch % len(self.rows.alternatives[row])) for epoch, row in drawn]
            chosen["alternative"] = [self.rows.alternatives[row][n] for row, n in numbers]
            keys["alternative"] = [(f"alternative {row}", n) for row, n in numbers]
        if "retain_alternative" in self.objective.groups:
            chosen["retain_alternative"] = [self.rows.retain_alternatives[row][0] for row in kept]
        return chosen, keys

    def _live_reference(self, chosen: Mapping[str, Sequence[Row]]) -> dict[str, Outputs]:
        objective = self.objective
        groups = {group: chosen[group] for group in objective.live_groups if group in chosen}
        if not groups:
            return {}
        batch = pack(groups).to(self.device)
        layers = {group: numbers for group, numbers in objective.hidden_layers.items() if group in groups}
        logits = objective.logit_groups & set(groups)
        with torch.no_grad(), self.reference_weights(self.model):
            return forward(
                self.model, batch, self.layout, logits=logits, hidden=layers, head=objective.head, mlp=objective.mlp_groups
            )

    def _replaced(self, function: Callable[[Tensor], Tensor], depth: float) -> AbstractContextManager:
        return replaced(self.model, depth_index(depth, len(blocks(self.model))), function)

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
