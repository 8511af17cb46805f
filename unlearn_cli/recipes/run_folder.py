"""The folder of one run: what lies where, and when it may be written to."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.lines import whole_lines
from unlearn_cli.report import FILE as REPORT
from unlearn_cli.report import write_text

if TYPE_CHECKING:
    from unlearn_cli.training.loop import StepRecord  # torch, which looking at a folder does not need

OURS = {
    REPORT,
    "unlearn.json",
    "metrics.jsonl",
    "plan.json",
    "README.md",
    "measured",
    "reference",
    "checkpoints",
    "attacks",
    "alternatives.json",
    "rows.jsonl",
    "evaluation",
    "tracking",
}


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
        return self.path / "checkpoints"

    @property
    def plan(self) -> Path:
        """The resolved configuration of an unfinished run, for --resume to compare with."""
        return self.path / "plan.json"

    @property
    def rows(self) -> Path:
        """Every metric's value for every row, after."""
        return self.path / "rows.jsonl"

    @property
    def metrics(self) -> Path:
        """One line for each step."""
        return self.path / "metrics.jsonl"

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
                f"{self.path} holds files that are not of a run: {', '.join(held[:5])}", "choose another --output-dir"
            )
        if held and not resume and not overwrite:
            started = self.plan.is_file() or (self.path / REPORT).is_file()
            hint = "--resume goes on with it, --overwrite starts anew" if started else "choose another --output-dir"
            raise UnlearnError(f"{self.path} is not empty", hint)

    def open(self, *, clear: bool) -> None:
        """Make the folder, or with `clear` empty it."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in self.path.iterdir() if clear else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Keep the resolved configuration beside the checkpoints."""
        write_text(self.plan, json.dumps(plan, indent=2, ensure_ascii=False, default=str) + "\n")

    def read_plan(self) -> dict[str, Any] | None:
        """The resolved configuration of the run that was started here."""
        return json.loads(self.plan.read_text(encoding="utf-8")) if self.plan.is_file() else None

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
