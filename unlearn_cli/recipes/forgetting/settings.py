"""The settings of a run: what was given, what its method adds, the origin of each value, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import Method, Procedure
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.pairing import Pairing

BUDGET_EPOCHS, BUDGET_STEPS = 3, 120  # a run with a target trains at most 3 times the method's epochs, but may use 120 steps


def has_target(config: ForgetConfig, method: Method) -> bool:
    """Whether a run trains until a target is reached. It does not if the user set another end or a fixed strength."""
    fixed = config.no_target or config.stop_when or config.calibrate or config.forget_loss_floor is not None
    return not fixed and method.applied == "adapter"


class CompleteConfig(ForgetConfig):
    """Settings of `unlearn forget` in which the method's defaults are filled in; `epochs` is None if steps are counted."""

    retain_term: str
    forget_weight: float
    retain_weight: float
    batch_size: int
    retain_ratio: int
    robust: str
    optim: Literal["auto", "adamw", "paged_adamw_8bit", "sophia", "sign"]
    lora_init: Literal["default", "fila", "pissa"]


@dataclass(frozen=True)
class Settings:
    """The settings of a run, the origin of each value, and the objective that they define."""

    config: CompleteConfig
    sources: Mapping[str, str]  # name of a setting -> origin of its value
    objective: Objective  # a procedure's is that of its base method
    procedure: Procedure | None = None  # the method, if it is a procedure

    def filled(self, origin: str, **values: Any) -> Settings:
        """These settings with new values, whose origin is `origin`."""
        sources = {**self.sources, **dict.fromkeys(values, origin)}
        return replace(self, config=self.config.model_copy(update=values), sources=sources)

    @property
    def writes_model(self) -> bool:
        """Whether the artifact is a whole model, not an adapter."""
        return self.config.full or (self.procedure is not None and self.procedure.artifact == "model")

    @property
    def negation(self) -> float:
        """The factor with which the trained adapter is subtracted from the weights; 0: it is added as usual."""
        negated = self.procedure is None and self.objective.method.applied == "negated_adapter"
        return self.config.parameters["alpha"] if negated else 0.0

    def pairing(self, forget_rows: int, retain_rows: int) -> Pairing:
        """The schedule of rows: which rows each step uses."""
        batch = self.config.batch_size * self.config.gradient_accumulation_steps
        return Pairing(self.config.seed, forget_rows, retain_rows, batch, batch * self.config.retain_ratio)

    @property
    def has_target(self) -> bool:
        """Whether training goes on until a target is reached, instead of following a fixed schedule."""
        return self.procedure is None and has_target(self.config, self.objective.method)

    def steps(self, pairing: Pairing) -> int:
        """Optimizer steps of a run; a limit if it has a target. For a procedure, the steps of its base method."""
        if self.config.max_steps:
            return self.config.max_steps
        steps = pairing.steps(self.epochs)
        if self.has_target and self.sources.get("epochs", "").startswith("method"):
            return max(BUDGET_EPOCHS * steps, BUDGET_STEPS)
        return steps

    @property
    def epochs(self) -> float:
        """Passes over the forget rows, for a run without --max-steps."""
        assert self.config.epochs is not None
        return self.config.epochs

    @property
    def learning_rate(self) -> float:
        """The peak learning rate; available after `resolve_model`."""
        assert self.config.learning_rate != "auto"
        return self.config.learning_rate
