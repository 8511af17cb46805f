"""The tools of a procedure: the base method, training of all weights, batches of rows, layers, and records of steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.contract import Procedure
from unlearn_cli.data.batch import cycled, pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import detach, reference_weights
from unlearn_cli.models.depth import blocks, causal_lm, depth_index, down_projection, mlp_matrices, replaced
from unlearn_cli.models.forward import HiddenStates, forward
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.recording import recorded
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import StepRecord, Trainer
from unlearn_cli.training.pairing import Pairing, Subset

NEUTRAL_EVERY = 4  # retain rows of a step for each neutral row


def neutral_rows(retain_rows: int) -> int:
    """Number of neutral rows in a step with so many retain rows."""
    return max(1, retain_rows // NEUTRAL_EVERY)


@dataclass
class Workbench:
    """One run of a procedure. `trainer` trains an adapter with the base method."""

    loaded: LoadedModel
    trainer: Trainer
    epochs: float  # of the base method
    peak: float  # highest learning rate of the base method
    schedule: Callable[..., float]  # (step, steps, peak=...) -> learning rate, by the settings
    neutral: Sequence[Row] = ()  # answers to everyday prompts and plain paragraphs, for a procedure that distills them
    level: float = 0.1  # mean probability of rows that the model never knew
    recorded_steps: int = 0
    tokens: int = 0  # in forward passes since the last record
    began: float = field(default_factory=time.perf_counter)  # time of the last record

    @property
    def model(self) -> Any:
        """The model in its current state."""
        return self.loaded.model

    @property
    def forget(self) -> Sequence[Row]:
        """The forget rows."""
        return self.trainer.passes.rows.forget

    @property
    def retain(self) -> Sequence[Row]:
        """The retain rows."""
        return self.trainer.passes.rows.retain

    @property
    def hidden_size(self) -> int:
        """The width of the model."""
        return int(self.loaded.config.hidden_size)

    @property
    def batch(self) -> int:
        """Forget rows of a step."""
        return self.pairing.batch

    @property
    def seed(self) -> int:
        """The seed of every random choice."""
        return self.pairing.seed

    @property
    def pairing(self) -> Pairing:
        """The schedule of rows of the base method."""
        assert isinstance(self.trainer.pairing, Pairing)
        return self.trainer.pairing

    def steps_in(self, epochs: float) -> int:
        """Number of steps of `epochs` passes over the forget rows."""
        return self.pairing.steps(epochs)

    def unlearn(self, *, forget: Sequence[int] | None = None, retained: Sequence[int] = ()) -> Iterator[StepRecord]:
        """Train the adapter with the base method, on all rows or on some.

        Args:
            forget: indices of the rows to forget; None: all.
            retained: indices of forget rows that are used as retain rows.
        """
        passes, retain = self.trainer.passes, len(self.retain)
        chosen = range(len(self.forget)) if forget is None else forget
        pairing = replace(self.pairing, forget_rows=len(chosen), retain_rows=retain + len(retained) if retain else 0)
        places = [*range(retain), *(retain + index for index in retained)]
        steps = pairing.steps(self.epochs)
        trainer = replace(
            self.trainer,
            passes=replace(passes, rows=replace(passes.rows, retain=[*self.retain, *self.forget])),
            pairing=Subset(pairing, tuple(chosen), tuple(places)),
            steps=steps,
            rate=lambda step: self.schedule(step, steps, peak=self.peak),
        )
        for record in trainer.train():
            self.recorded_steps += 1
            yield replace(record, step=self.recorded_steps)

    def unlearn_steps(self, rows: int | None = None) -> int:
        """Number of steps of `unlearn` on `rows` forget rows; None: on all."""
        return replace(self.pairing, forget_rows=rows or len(self.forget)).steps(self.epochs)

    def drop_adapter(self, *, merge: bool) -> None:
        """Remove the adapter, with or without merging it into the weights first."""
        detach(self.loaded, merge=merge)

    def train_whole(
        self,
        loss: Callable[[int], tuple[Tensor, float]],
        *,
        steps: int,
        peak: float,
        finished: Callable[[int], bool] = lambda step: False,
    ) -> Iterator[StepRecord]:
        """Train every weight with AdamW.

        Args:
            loss: step -> (loss, value of its forget part). Gradients that it computes itself are added to the loss's.
            steps: number of steps.
            peak: highest learning rate.
            finished: step, from 0 -> whether training ends after it.
        """
        weights = list(self.weights().values())
        optimizer = torch.optim.AdamW(weights, lr=peak, weight_decay=0.0, fused=True)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate = self.schedule(step, steps, peak=peak)
            total, forget_loss = loss(step)
            total.backward()
            norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            retain_loss = float(total.detach()) - forget_loss
            yield self.record(forget_loss=forget_loss, retain_loss=retain_loss, norm=float(norm), rate=rate)
            if finished(step):
                return

    @torch.no_grad()
    def answer_loss(self, rows: Sequence[Row], model: Any = None) -> float:
        """Mean negative log-probability of an answer token over `rows`, under this model or `model`."""
        return -float(torch.cat([self.outputs(part, model=model).mean_logps for part in self.batches(rows)]).mean())

    def batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """The rows in their order, at most `batch` of them at a time."""
        for start in range(0, len(rows), self.batch):
            yield rows[start : start + self.batch]

    def weights(self, kind: str = "all") -> dict[str, torch.nn.Parameter]:
        """Parameters by name, made trainable: all of them ("all"), or the matrices of the blocks' MLPs ("mlp")."""
        chosen = mlp_matrices(self.model) if kind == "mlp" else dict(causal_lm(self.model).named_parameters())
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        return chosen

    def base_values(self) -> dict[str, Tensor]:
        """A copy of the weights without the adapter, by the names that they have after `drop_adapter`."""
        named = causal_lm(self.model).named_parameters()
        return {n.replace(".base_layer", ""): p.detach().clone() for n, p in named if "lora_" not in n}

    def depth(self, share: float) -> int:
        """The number of the block, from 1, at a relative depth."""
        return depth_index(share, len(blocks(self.model)))

    def mlps(self, first: int, last: int, model: Any = None) -> dict[str, torch.nn.Module]:
        """The MLPs of blocks `first` to `last` of this model or `model`, by name."""
        causal = causal_lm(self.model if model is None else model)
        names = [down_projection(causal, number).rpartition(".")[0] for number in range(first, last + 1)]
        return {name: causal.get_submodule(name) for name in names}

    def down_projection(self, block: int) -> torch.nn.Module:
        """The layer by which the MLP of a block, numbered from 1, writes into the residual stream."""
        return causal_lm(self.model).get_submodule(down_projection(self.model, block))

    def replaced(self, block: int, function: Callable[[Tensor], Tensor]) -> AbstractContextManager:
        """A context in which `function` is applied to the residual stream after a block."""
        return replaced(self.model, block, function)

    def linears(self, first: int, last: int) -> dict[str, torch.nn.Module]:
        """The linear layers of the MLPs of blocks `first` to `last`, by name.

        Raises:
            UnlearnError: an MLP is not a separate module, or has no linear layers.
        """
        layers: dict[str, torch.nn.Module] = {}
        members = {id(block) for block in blocks(self.model)}
        for name, mlp in self.mlps(first, last).items():
            inside = {f"{name}.{n}": m for n, m in mlp.named_modules() if isinstance(m, torch.nn.Linear)}
            if id(mlp) in members or not inside:
                raise UnlearnError(
                    f"the MLPs of {type(causal_lm(self.model)).__name__} are not modules of linear layers",
                    "--method undo and --method layered work with every architecture",
                )
            layers |= inside
        return layers

    def recorded(self, modules: Mapping[str, torch.nn.Module]) -> AbstractContextManager:
        """A context in which forward passes record the inputs and outputs of `modules`."""
        return recorded(modules)

    def copy(self) -> Any:
        """A frozen copy of the current weights."""
        return copy.deepcopy(causal_lm(self.model)).requires_grad_(False).eval()

    def outputs(
        self,
        rows: Sequence[Row],
        *,
        model: Any = None,
        logits: bool = False,
        hidden: tuple[int, ...] = (),
        head: bool = True,
    ) -> Outputs:
        """One forward pass over `rows`, of this model or `model`; see `forward`."""
        batch = pack({"rows": rows}).to(self.loaded.device)
        self.tokens += batch.tokens
        return forward(
            model if model is not None else self.model,
            batch,
            self.loaded.layout,
            logits=frozenset({"rows"} if logits else ()),
            states=HiddenStates({"rows": hidden}) if hidden else None,
            head=head,
        )["rows"]

    def forget_batch(self, step: int) -> list[Row]:
        """The forget rows of a step. Each pass over the rows uses each of them once."""
        return [self.forget[row] for _, row in self.pairing.forget(step)]

    def retain_batch(self, step: int) -> list[Row]:
        """The retain rows of a step. Each pass over the rows uses each of them once."""
        return [self.retain[row] for row in self.pairing.retain(step)]

    def neutral_batch(self, step: int) -> list[Row]:
        """The neutral rows of a step, one for every `NEUTRAL_EVERY` retain rows. They take turns."""
        return cycled(self.neutral, step, neutral_rows(self.pairing.retain_batch))

    def without_adapter(self) -> AbstractContextManager:
        """A context in which the model is the reference."""
        return reference_weights(self.model)

    def record(
        self,
        *,
        forget_loss: float = 0.0,
        retain_loss: float | None = None,
        norm: float = 0.0,
        rate: float = 0.0,
        forget_gradient: float | None = None,
    ) -> StepRecord:
        """The record of a step that the procedure itself took.

        Args:
            forget_loss: mean over the rows.
            retain_loss: mean over the rows.
            norm: norm of the gradient.
            rate: learning rate.
            forget_gradient: largest element of the gradient of the forget loss alone; a procedure that begins with its
                own steps gives it.

        Raises:
            Diverged: a loss or the norm is not finite.
        """
        self.recorded_steps += 1
        if not math.isfinite(forget_loss + (retain_loss or 0.0) + norm):
            raise Diverged(self.recorded_steps, "loss")
        record = StepRecord(
            step=self.recorded_steps,
            epoch=self.recorded_steps * self.batch / len(self.forget),
            loss=forget_loss + (retain_loss or 0.0),
            forget_loss=forget_loss,
            retain_loss=retain_loss,
            grad_norm=norm,
            learning_rate=rate,
            tokens=self.tokens,
            computed=self.tokens,
            seconds=time.perf_counter() - self.began,
            forget_gradient=forget_gradient,
        )
        self.tokens, self.began = 0, time.perf_counter()
        return record


@dataclass(frozen=True)
class ProcedureRun:
    """A procedure, in place of the training loop. It has no checkpoints: a step depends on more than its number."""

    bench: Workbench
    procedure: Procedure
    parameters: Mapping[str, Any]
    steps: int

    def records(self) -> Iterator[StepRecord]:
        """Run the procedure from its beginning."""
        return self.procedure.function(self.bench, **self.parameters)
