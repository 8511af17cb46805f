"""The training loop: a generator of step records.

Losses come back as one number for each row and are averaged over the whole optimizer step, so that micro-batches and
accumulation change nothing. Exceptions: methods that declare their rows `coupled` (kto), and `average=tokens`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.errors import out_of_memory
from unlearn_cli.models import ranks
from unlearn_cli.models.adapter import is_training, set_training
from unlearn_cli.models.memory import release_memory
from unlearn_cli.training.gradients import Diverged, Gradients
from unlearn_cli.training.pairing import Draws
from unlearn_cli.training.passes import Passes

PROBED = 3  # number of first steps that measure the forget loss's own gradient


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step, in plain numbers."""

    step: int  # from 1
    epoch: float
    loss: float
    forget_loss: float
    retain_loss: float | None
    grad_norm: float  # before clipping
    learning_rate: float
    tokens: int  # tokens run with gradient
    computed: int  # tokens and padding
    seconds: float
    retain_weight: float | None = None  # where it changes from step to step
    retain_tokens: int = 0  # of the tokens, those of retain rows
    parts: int = 1  # passes of the step
    forget_gradient: float | None = None  # largest element of the forget loss's own gradient; of the first steps only


@dataclass(frozen=True)
class Trainer:
    """Everything that a step needs, and the loop `train`.

    Between two records the caller may read the weights, `adjust` the following steps, restore a `snapshot`, or stop
    reading. Values that persist from step to step are in `state`, which a checkpoint stores.
    """

    passes: Passes
    pairing: Draws
    optimizer: torch.optim.Optimizer
    parameters: list[torch.nn.Parameter]
    rate: Callable[[int], float]  # learning rate of a step, from 0
    steps: int
    accumulation: int = 1
    max_grad_norm: float = 1.0
    rule: Callable[[Gradients], Any] = Gradients.backward  # computes the gradient of a step
    level: float | None = None  # probability to which forget rows are lowered; None: no limit
    view: Callable[[], AbstractContextManager] = nullcontext  # a context in which the model is the trained one
    # What persists from step to step beside weights and optimizer: a dual variable, a rule's averages, what `adjust` set.
    state: dict[str, Any] = field(default_factory=dict)

    def train(self, start: int = 0) -> Iterator[StepRecord]:
        """Run the steps from `start` on. When a record is yielded, the weights are those after its step.

        Raises:
            Diverged: a loss or gradient is not finite; the step is not taken.
        """
        set_training(self.passes.model)
        ranks.copy_to_others(self.parameters)
        for step in range(start, self.steps):
            if not is_training(self.passes.model):  # a measurement came between
                set_training(self.passes.model)
            began, forget_gradient = time.perf_counter(), None
            with self.view():
                while True:
                    gradients = self._gradients(step)
                    try:
                        if step < PROBED:
                            probe = replace(gradients)
                            probe.backward("forget")
                            forget_gradient = probe.take_largest()
                        self.rule(gradients)
                        break
                    except Exception as error:
                        if out_of_memory(error) is None or not self._splits(len(gradients.forget)):
                            raise
                    # After the handler: its traceback keeps alive the tensors that filled the memory.
                    gradients.zero()
                    release_memory()
                    self.state["parts"] = 2 * self.parts  # of this step, which is repeated, and of later ones
                norm = self._update(step)
                record = self._record(gradients, norm, forget_gradient, time.perf_counter() - began)
            yield record

    @property
    def retain_weight(self) -> float:
        """The retain term's weight in the next step."""
        return self.state.get("retain_weight", self.passes.objective.retain_weight)

    @property
    def parts(self) -> int:
        """Number of passes of the next step: more than `accumulation` after memory has run out."""
        return int(self.state.get("parts", self.accumulation))

    def adjust(self, *, retain_weight: float | None = None, rate_factor: float | None = None) -> None:
        """Change the retain weight, or the factor on the scheduled learning rate, from the next step on."""
        settings = {"retain_weight": retain_weight, "rate_factor": rate_factor}
        self.state.update({name: value for name, value in settings.items() if value is not None})

    def weights(self) -> list[Tensor]:
        """A copy of the trained weights, in the order of `parameters`."""
        return [parameter.detach().clone() for parameter in self.parameters]

    def copy_weights_to(self, copy: Sequence[Tensor]) -> None:
        """Give a copy the values of the trained weights, without the memory of another copy."""
        for values, parameter in zip(copy, self.parameters, strict=True):
            values.copy_(parameter.detach())

    def set_weights(self, weights: Sequence[Tensor]) -> None:
        """Give the trained weights the values of a copy."""
        with torch.no_grad():
            for parameter, values in zip(self.parameters, weights, strict=True):
                parameter.copy_(values)

    def _gradients(self, step: int) -> Gradients:
        """The rows and settings of a step, whose gradients are not computed yet."""
        pairing = self.pairing
        return Gradients(
            self.passes,
            self.parameters,
            forget=pairing.forget(step),
            retain=pairing.retain(step) if self.passes.objective.retain_groups else [],
            retain_weight=self.retain_weight,
            step=step,
            progress=step / self.steps,
            parts=self.parts,
            state=self.state.setdefault("rule", {}),
            level=self.level,
            seen=None if self.level is None else self.state.setdefault("seen", {}),
        )

    def _record(self, gradients: Gradients, norm: float, forget_gradient: float | None, seconds: float) -> StepRecord:
        """The record of a step that is taken; a method may change the retain weight of the next one."""
        objective, pairing, step, weight = self.passes.objective, self.pairing, gradients.step, gradients.retain_weight
        changes = objective.method.next_retain_weight
        forget_loss = gradients.sums.get("forget", 0.0) / len(gradients.forget)
        retain_loss = gradients.sums["retain"] / len(gradients.retain) if gradients.retain else None
        if changes and retain_loss is not None:
            epochs = step * pairing.batch / pairing.forget_rows
            self.state["retain_weight"] = changes(weight, retain_loss, epochs, objective.parameters)
        return StepRecord(
            step=step + 1,
            epoch=(step + 1) * pairing.batch / pairing.forget_rows,
            loss=objective.forget_weight * forget_loss + weight * (retain_loss or 0.0),
            forget_loss=forget_loss,
            retain_loss=retain_loss,
            grad_norm=norm,
            learning_rate=self._rate(step),
            tokens=gradients.tokens,
            computed=gradients.computed,
            seconds=seconds,
            retain_weight=weight if changes or "retain_weight" in self.state else None,
            retain_tokens=gradients.retain_tokens,
            parts=gradients.parts,
            forget_gradient=forget_gradient,
        )

    def _rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.rate(step) * self.state.get("rate_factor", 1.0)

    def _splits(self, rows: int) -> bool:
        """Whether a step can be run in more parts than now without a change of its result."""
        return self.rule is Gradients.backward and not self.passes.objective.coupled and self.parts < rows

    def _update(self, step: int) -> float:
        """One step of the optimizer; returns the gradient's norm before clipping."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm))
        if not math.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise Diverged(step + 1, "gradient")
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm
