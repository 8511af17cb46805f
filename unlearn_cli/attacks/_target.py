"""The input of an attack: one model, the rows that judge the attack, and the attacker's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from torch import Tensor
from torch.nn import Parameter

from unlearn_cli.contract import Defaults, Method
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import Plan, Questions, measure
from unlearn_cli.measured import Measured
from unlearn_cli.models.adapter import enable_checkpointing, scaled
from unlearn_cli.models.attack_modifications import (
    Change,
    changed_weights,
    compare_weights,
    distance,
    every_weight,
    fresh_adapter,
    interpolated,
    set_for_training,
    set_for_use,
    without_adapter,
)
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reference import StoredReference
from unlearn_cli.outputs import Outputs
from unlearn_cli.retain_terms.none import none
from unlearn_cli.training.loop import Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import make_optimizer
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.passes import Passes, Rows

Kind = Literal["unlearned", "original", "baseline", "control"]
Role = str  # unlearned, original, baseline or control; of several baselines "baseline 1", "baseline 2", ...
Place = int | float | str  # a point of a curve: a number of steps or bits, or the name of a wording
WEIGHT_DECAY = 0.01


def kind(role: Role) -> Kind:
    """The role without a number: "baseline" for each of several baselines."""
    return cast(Kind, role.partition(" ")[0])


def _negative_log_likelihood(policy: Outputs) -> Tensor:
    """Ordinary fine-tuning: losses [B]."""
    return -policy.mean_logps


FINE_TUNING = Objective(
    method=Method("fine-tuning", _negative_log_likelihood, ("policy",), MappingProxyType({}), defaults=Defaults()),
    retain_term=none, parameters={}, retain_parameters={}, forget_weight=1.0, retain_weight=0.0,
)  # fmt: skip


class AttackData(NamedTuple):
    """The rows of an attack. They are the same for every model under attack."""

    eval_forget: tuple[Example, ...]  # forget rows that the attack is judged by
    train_forget: tuple[Example, ...]  # forget rows that the attacker has
    eval_retain: tuple[Example, ...]  # retain rows that show the damage
    train_retain: tuple[Example, ...]  # retain rows that the attacker has
    user_rows: tuple[Example, ...]  # rows of --attack-data


class FineTuning(NamedTuple):
    """Settings of fine-tuning at a constant learning rate."""

    learning_rate: float
    seed: int  # of the order of rows and of the adapter's random half
    batch_size: int  # rows of a step
    rank: int  # of the fresh adapter
    full: bool = False  # train every weight instead of a fresh adapter


@dataclass(frozen=True)
class Point:
    """One point of an attack's curve: measurements of the rows that judge."""

    at: Place
    forget: Measured
    retain: Measured | None = None  # None: the attack does not change the answers to retain rows
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Target:
    """One of the models under attack, with the rows of the attack."""

    role: Role
    loaded: LoadedModel
    data: AttackData
    encoder: Encoder
    plan: Plan
    separate_original: bool = False  # the original has weights of its own; otherwise it is the run without its adapter
    original: Callable[[], Mapping[str, Tensor]] | None = None  # reads the original's weights, by name
    advance: Callable[[Place], None] = field(default=lambda at: None)  # called with the place that was reached

    @property
    def composed(self) -> bool:
        """Whether the model is a base and an assistant."""
        return isinstance(self.loaded.model, Composed)

    @property
    def unlearned(self) -> bool:
        """Whether this is the run itself."""
        return self.role == "unlearned"

    @property
    def whole(self) -> bool:
        """Whether the loaded adapter is part of this model. If not, it is the run's adapter and must be off."""
        return self.role != "original" or self.separate_original

    def active(self) -> AbstractContextManager[None]:
        """A context in which the loaded weights compute as this model."""
        return nullcontext() if self.whole else without_adapter(self.loaded)

    def measure(
        self, at: Place, forget_rows: Sequence[Example] | None = None, *, retain: bool = True, plan: Plan | None = None
    ) -> Point:
        """Measure the model as it is now.

        Args:
            at: place on the curve.
            forget_rows: reworded `data.eval_forget`, in the same order, or the rows of an attack that declares `own_rows`;
                None: `data.eval_forget` as it is.
            retain: measure the retain rows too.
            plan: what to measure, if it is not the usual plan.
        """
        plan = plan or self.plan
        forget = self._measure_split("forget", self.data.eval_forget if forget_rows is None else forget_rows, plan)
        damage = self._measure_split("retain", self.data.eval_retain, plan) if retain and self.data.eval_retain else None
        self.advance(at)
        return Point(at, forget, damage)

    def _measure_split(self, split: str, examples: Sequence[Example], plan: Plan) -> Measured:
        rows = self.encoder.encode(examples)
        return measure(self.loaded, Questions(split, rows, [row.id for row in rows], len(rows)), plan)

    def fine_tune(
        self,
        rows: Sequence[Row],
        steps: Sequence[int],
        tuning: FineTuning,
        forget_rows: Sequence[Example] | None = None,
        *,
        merged: bool = False,
    ) -> Iterator[Point]:
        """Fine-tune on `rows`, measure after each number of steps, and undo the training.

        Args:
            rows: the training rows.
            steps: numbers of steps, ascending; 0 is the model before training.
            tuning: learning rate, seed, batch size, adapter.
            forget_rows: the rows that judge; None: `data.eval_forget`.
            merged: the run's adapter is in the weights, as inside `changed_weights`.
        """
        whole = self.whole and not merged
        if 0 in steps:
            with nullcontext() if merged else self.active():
                yield self.measure(0, forget_rows)
        measured_after = [step for step in steps if step > 0]
        if not measured_after:
            return
        trainable = (
            every_weight(self.loaded, whole=whole)
            if tuning.full
            else fresh_adapter(self.loaded, rank=tuning.rank, seed=tuning.seed, whole=whole)
        )
        with trainable as (model, parameters):
            set_for_training(self.loaded)
            if self.loaded.offloaded:
                enable_checkpointing(self.loaded)  # else each weight that waits elsewhere is kept for the backward pass
            for record in self._trainer(model, parameters, rows, max(measured_after), tuning).train():
                self.advance(record.step)
                if record.step in measured_after:
                    set_for_use(self.loaded)
                    yield self.measure(record.step, forget_rows)
                    set_for_training(self.loaded)
            set_for_use(self.loaded)

    def _trainer(
        self, model: Any, parameters: list[Parameter], rows: Sequence[Row], steps: int, tuning: FineTuning
    ) -> Trainer:
        batch_size = min(tuning.batch_size, len(rows))
        optimizer = make_optimizer(
            parameters, "adamw", device=self.loaded.device, full=tuning.full, weight_decay=WEIGHT_DECAY
        )
        loaded, reference = self.loaded, StoredReference({})
        return Trainer(
            passes=Passes(
                model, loaded.layout, loaded.device, FINE_TUNING, Rows(rows, (), ()), reference,
                reference_weights=lambda inner: nullcontext(),
            ),
            pairing=Pairing(tuning.seed, len(rows), 0, batch_size, 0), optimizer=optimizer, parameters=parameters,
            rate=lambda step: tuning.learning_rate, steps=steps,
        )  # fmt: skip

    def compare_with_original(self, measure: Callable[[Tensor, Tensor], float]) -> float | None:
        """Mean over linear layers of `measure(this model's matrix, the original's)`, weighted by size; None if unknown."""
        return compare_weights(self.loaded, measure) if self.unlearned and not self.separate_original else None

    def changed_weights(self, change: Change) -> AbstractContextManager[None]:
        """A context in which every linear layer applies other weights. See `models/attack_modifications.py`."""
        return changed_weights(self.loaded, change, whole=self.whole)

    def toward_original(self, share: float) -> AbstractContextManager[None]:
        """A context in which every weight is `share` of the way from this model to the original; 1 is the original.

        Raises:
            UnlearnError: a composition, or weights that do not fit the original's.
        """
        if self.composed:
            raise UnlearnError(
                "it moves one set of weights, and the run combines two models (uld, offset, whp)", "leave this attack out"
            )
        if self.role == "original":
            return self.active()
        if self.unlearned and not self.separate_original:
            return scaled(self.loaded.model, 1 - share)
        return interpolated(self.loaded, self._original_weights(), share)

    def distance_from_original(self) -> float:
        """|theta - theta_0| / |theta_0|, theta_0 the original's weights.

        Raises:
            UnlearnError: a composition, or weights that do not fit the original's.
        """
        if self.composed:
            raise UnlearnError(
                "it compares one set of weights, and the run combines two models (uld, offset, whp)", "leave this attack out"
            )
        if self.role == "original":
            return 0.0
        return distance(self.loaded, None if self.unlearned and not self.separate_original else self._original_weights())

    def check_hidden_states(self, attack: str) -> None:
        """Refuse an attack on hidden states of a run whose answers come from two models.

        Raises:
            UnlearnError: a composition.
        """
        if self.composed:
            raise UnlearnError(
                f"{attack}: it reads hidden states of one model, and the run combines two (uld, offset, whp)",
                "leave this attack out",
            )

    def _original_weights(self) -> Mapping[str, Tensor]:
        if self.original is None:
            raise UnlearnError(
                "the weights of the model before unlearning cannot be read", "--base MODEL says where the original is"
            )
        return self.original()
