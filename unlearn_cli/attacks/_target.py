"""What an attack works with: one model, the rows it is judged by, and the rows that the attacker has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from unlearn_cli.contract import Defaults, Method
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.evaluation.measure import Plan, measure
from unlearn_cli.measured import Measured
from unlearn_cli.models.attack_modifications import (
    Change,
    changed_weights,
    compare_weights,
    every_weight,
    fresh_adapter,
    set_for_training,
    set_for_use,
    without_adapter,
)
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reference import StoredReference
from unlearn_cli.outputs import Outputs
from unlearn_cli.retain_terms.none import none
from unlearn_cli.training.loop import Rows, Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import make_optimizer
from unlearn_cli.training.pairing import Pairing

Role = Literal["unlearned", "original", "baseline"]
WEIGHT_DECAY = 0.01


def _descent(policy: Outputs) -> Tensor:
    """Ordinary fine-tuning: losses [B]."""
    return -policy.mean_logps


DESCENT = Objective(
    method=Method("descent", _descent, ("policy",), MappingProxyType({}), defaults=Defaults()),
    retain_term=none, parameters={}, retain_parameters={}, forget_weight=1.0, retain_weight=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """Where an attack stands: measurements of the rows it is judged by."""

    at: float | str  # steps, bits, shots, or the name of a wording
    forget: Measured
    retain: Measured | None = None  # None: what is to be kept was not touched
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Target:
    """One of the models under attack; the attack's rows are the same for all."""

    role: Role
    loaded: LoadedModel
    held: Sequence[Example]  # forget rows that the attack is judged by
    known: Sequence[Example]  # forget rows that the attacker has
    kept: Sequence[Example]  # retain rows by which damage is seen
    retain: Sequence[Example]  # retain rows that the attacker has
    given: Sequence[Example]  # rows of --attack-data
    encoder: Encoder
    plan: Plan
    other_weights: bool = False  # the loaded weights are those of the original itself, not an adapter's base
    advance: Callable[[int | float | str], None] = field(default=lambda at: None)  # told where on its curve the attack is

    @property
    def composed(self) -> bool:
        """The model is a base and an assistant."""
        return isinstance(self.loaded.model, Composed)

    @property
    def unlearned(self) -> bool:
        """It is the run itself."""
        return self.role == "unlearned"

    @property
    def whole(self) -> bool:
        """What was loaded is this model, its adapter included; otherwise the adapter is the run's, and is to be off."""
        return self.role != "original" or self.other_weights

    def standing(self) -> AbstractContextManager:
        """Meanwhile the loaded weights are this model."""
        return nullcontext() if self.whole else without_adapter(self.loaded)

    def measure(
        self, at: float | str, held: Sequence[Example] | None = None, *, keep: bool = True, plan: Plan | None = None
    ) -> Point:
        """The model as it now stands, on the rows it is judged by.

        Args:
            at: where the attack stands.
            held: those rows asked otherwise, in the same order; None: as they are.
            keep: measure the retain rows as well.
            plan: measured otherwise than usual.
        """
        forget = self._measured("forget", self.held if held is None else held, plan or self.plan)
        retain = self._measured("retain", self.kept, plan or self.plan) if keep and self.kept else None
        self.advance(at)
        return Point(at, forget, retain)

    def _measured(self, split: str, examples: Sequence[Example], plan: Plan) -> Measured:
        rows = self.encoder.encode(examples)
        prompts = [row.id for row in rows]
        return measure(self.loaded, split, rows, prompts, plan, rows_in_split=len(rows))

    def trained(
        self,
        rows: Sequence[Row],
        grid: Sequence[int],
        *,
        learning_rate: float,
        seed: int,
        batch_size: int,
        rank: int,
        full: bool,
        held: Sequence[Example] | None = None,
    ) -> Iterator[Point]:
        """Fine-tune on `rows` at a constant rate and measure after each number of steps in `grid`; then undo it.

        Args:
            rows: what is trained on.
            grid: numbers of steps, ascending; 0 is the model before.
            learning_rate: constant.
            seed: of the order of rows and of the adapter's random half.
            batch_size: rows of a step.
            rank: of the fresh adapter.
            full: all weights instead of a fresh adapter.
            held: the rows that judge; None: the usual ones.
        """
        if 0 in grid:
            with self.standing():
                yield self.measure(0, held)
        later = [steps for steps in grid if steps > 0]
        if not later:
            return
        added = (
            every_weight(self.loaded, whole=self.whole)
            if full
            else fresh_adapter(self.loaded, rank=rank, seed=seed, whole=self.whole)
        )
        with added as (model, parameters):
            set_for_training(self.loaded)
            batch = min(batch_size, len(rows))
            trainer = Trainer(
                model=model, layout=self.loaded.layout, device=self.loaded.device, objective=DESCENT,
                rows=Rows(rows, (), ()), pairing=Pairing(seed, len(rows), 0, batch, 0), stored=StoredReference({}),
                reference_weights=lambda inner: nullcontext(),
                optimizer=make_optimizer(
                    parameters, "adamw", device=self.loaded.device, full=full, weight_decay=WEIGHT_DECAY
                ),
                rate=lambda step: learning_rate, steps=max(later), parameters=parameters,
            )  # fmt: skip
            for record in trainer.train():
                self.advance(record.step)
                if record.step in later:
                    set_for_use(self.loaded)
                    yield self.measure(record.step, held)
                    set_for_training(self.loaded)
            set_for_use(self.loaded)

    def compared(self, measure: Callable[[Tensor, Tensor], float]) -> float | None:
        """Mean over linear layers of `measure(this model's matrix, the original's)`, weighted by size; None if unknown."""
        return compare_weights(self.loaded, measure) if self.unlearned and not self.other_weights else None

    def changed(self, change: Change) -> AbstractContextManager:
        """Meanwhile every linear layer applies other weights. See `models/attack_modifications.py`."""
        return changed_weights(self.loaded, change, whole=self.whole)
