"""The folder of one run: what lies where, and when it may be written to."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.lines import whole_lines
from unlearn_cli.report import CHECKPOINTS, EVALUATION, PLAN, ROWS, STEPS, unfinished, write_text
from unlearn_cli.report import FILE as REPORT

if TYPE_CHECKING:
    from unlearn_cli.training.loop import StepRecord  # torch, which looking at a folder does not need

OURS = {
    REPORT,
    "unlearn.json",
    "metrics.jsonl",
    PLAN,
    "README.md",
    "measured",
    "reference",
    CHECKPOINTS,
    "attacks",
    "alternatives.json",
    ROWS,
    EVALUATION,
    "tracking",
}
# What a start leaves that came to no checkpoint: nothing that took long but the measurements, which have keys of their own.
OF_A_START = {PLAN, "metrics.jsonl", "measured", "reference", CHECKPOINTS, "alternatives.json", "tracking"}
BEFORE = "before-*"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder."""

    path: Path

    @property
    def measured(self) -> Path:
        """Measurements, two files for each model and split."""
        return self.path / "measured"

    @property
    def reference(self) -> Path:
        """Reference log-probabilities."""
        return self.path / "reference"

    @property
    def alternatives(self) -> Path:
        """Answers that the model itself gave to the forget questions, for methods that prefer those."""
        return self.path / "alternatives.json"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def plan(self) -> Path:
        """The resolved configuration of an unfinished run, for --resume to compare with."""
        return self.path / PLAN

    @property
    def rows(self) -> Path:
        """Every metric's value for every row, after."""
        return self.path / ROWS

    @property
    def metrics(self) -> Path:
        """One line for each step."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """The evidence; written last."""
        return self.path / REPORT

    @property
    def is_run(self) -> bool:
        """Something here would be lost by starting anew: a report, or steps of training."""
        return self.report.is_file() or any(self.checkpoints.glob(STEPS))

    @property
    def is_start(self) -> bool:
        """A run was started here and came to nothing that is worth keeping beside its measurements."""
        held = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return self.read_plan() is not None and not self.is_run and held <= OF_A_START

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """See whether the folder may be written to, without touching it.

        Raises:
            UnlearnError: there is something in it, and neither --resume nor --overwrite was given.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UnlearnError(f"--output-dir {self.path} is a file")
        held = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []
        if held and overwrite and not OURS & set(held):
            raise UnlearnError(
                f"{self.path} holds files that no run has written: {', '.join(held[:5])}", "choose another --output-dir"
            )
        if held and not (resume or overwrite or self.is_start):
            raise self._refusal()

    def _refusal(self) -> UnlearnError:
        if self.report.is_file():
            return UnlearnError(
                f"{self.path} holds a finished run", "--overwrite starts anew, or choose another --output-dir"
            )
        if self.is_run or self.read_plan() is not None:
            state, _ = unfinished(self.path)
            hint = "--resume goes on with it, --overwrite starts anew"
            return UnlearnError(f"{self.path} holds an unfinished run ({state})", hint)
        return UnlearnError(f"{self.path} is not empty", "choose another --output-dir")

    def open(self, *, clear: bool) -> None:
        """Make the folder, or with `clear` empty it."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in self.path.iterdir() if clear else ():
            _remove(path)

    def clear_start(self) -> None:
        """Take away what an earlier start has left, except for its measurements of the model before: those have keys."""
        held = [path for path in self.path.iterdir() if path.name in OF_A_START and path != self.measured]
        held += set(self.measured.glob("*")) - set(self.measured.glob(BEFORE))
        for path in held:
            _remove(path)

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Keep the resolved configuration beside the checkpoints."""
        write_text(self.plan, json.dumps(plan, indent=2, ensure_ascii=False, default=str) + "\n")

    def read_plan(self) -> dict[str, Any] | None:
        """The resolved configuration of the run that was started here, if one was."""
        try:
            held = json.loads(self.plan.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return held if isinstance(held, dict) and "settings" in held else None

    def keep_steps(self, upto: int) -> list[dict[str, Any]]:
        """Cut `metrics.jsonl` back to the steps a checkpoint knows of; returns those lines."""
        if not self.metrics.is_file():
            return []
        kept = [line for line in whole_lines(self.metrics) if line["step"] <= upto]
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))
        return kept

    def append(self, line: StepRecord | dict[str, Any]) -> dict[str, Any]:
        """Add a line to `metrics.jsonl`; returns it as a dict."""
        entry = line if isinstance(line, dict) else asdict(line)
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return entry


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
