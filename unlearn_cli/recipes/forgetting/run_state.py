"""The state of one run of `unlearn forget`: what is settled, where it writes, and what it has found so far."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.models.compose import Composition
from unlearn_cli.models.reach import Reach
from unlearn_cli.recipes.forgetting.resolve import Settled
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.report import CalibrationReport, Trajectory


@dataclass
class Run:
    """Everything that one run has found out so far."""

    settled: Settled
    folder: RunFolder
    reporter: Reporter
    command_line: list[str]
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: dict[str, float] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)  # lines of metrics.jsonl
    trajectory: list[Trajectory] = field(default_factory=list)
    stopped_by: str | None = None
    resumed_from: int | None = None
    checkpointing: bool = False
    opened: bool = False  # the run folder is this run's, and no longer what it was before
    composition: Composition | None = None  # how the adapter is applied, if not by adding it
    calibration: CalibrationReport | None = None
    reach: Reach | None = None  # what LoRA adapts

    @property
    def negated(self) -> float:
        """How far the trained adapter is to be turned the other way; 0: not at all."""
        negated = self.settled.procedure is None and self.settled.objective.method.applied == "negated_adapter"
        return self.config.parameters["alpha"] if negated else 0.0

    @property
    def writes_model(self) -> bool:
        """The artefact is a whole model, not an adapter."""
        procedure = self.settled.procedure
        return self.config.full or (procedure is not None and procedure.artefact == "model")

    @property
    def config(self) -> ForgetConfig:
        """The settled configuration."""
        return self.settled.config

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the seconds of a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
