"""The folder of one run: what lies where, and when it may be written to."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import holds_texts
from unlearn_cli.jsonfile import parse_json, read_complete_jsonl
from unlearn_cli.models.source import ABOUT, ASSISTANT
from unlearn_cli.recipes.storage.lock import LOCK, check_free
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.report import CHECKPOINTS, EVALUATION, PLAN, ROWS, STEPS, unfinished
from unlearn_cli.report import FILE as REPORT

if TYPE_CHECKING:
    from unlearn_cli.training.loop import StepRecord  # torch, which looking at a folder does not need

OURS = {
    REPORT,
    ABOUT,
    ASSISTANT,
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
    LOCK,
}
# What saving an adapter, a model and a tokenizer writes; a run that was stopped there has no report that lists it.
SAVED = (
    "adapter_config.json", "adapter_model.*", "model.safetensors*", "model-*.safetensors", "config.json",
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "chat_template.*", "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip
# What shows that a folder is a run's, by keys that each holds: OURS are names that any project may have.
MARKS = {REPORT: {"schema_version", "command", "scores"}, ABOUT: {"kind", "base_model"}, PLAN: {"settings", "model", "data"}}
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

    def texts(self) -> list[str]:
        """Files that hold rows or answers as plain text, as paths inside the folder."""
        measured = sorted(path.stem for path in self.measured.glob("*.safetensors"))
        files = [f"measured/{name}.jsonl" for name in measured if holds_texts(self.measured, name)]
        return files + [path.name for path in [self.alternatives] if path.is_file()]

    @property
    def is_run(self) -> bool:
        """Something here would be lost by starting anew: a report, or steps of training."""
        return self._marked(REPORT) or any(self.checkpoints.glob(STEPS))

    @property
    def is_start(self) -> bool:
        """A run was started here and came to nothing that is worth keeping beside its measurements."""
        return self.read_plan() is not None and not self.is_run and set(self._names()) <= OF_A_START

    def _names(self) -> list[str]:
        """What is in the folder, but for the lock of the process that writes into it."""
        return sorted(path.name for path in self.path.iterdir() if path.name != LOCK) if self.path.is_dir() else []

    def check(self, *, resume: bool, overwrite: bool, held: bool = False) -> None:
        """See whether the folder may be written to, without touching it.

        Args:
            resume: a run that was started there is to go on.
            overwrite: what a run has left there is to be replaced.
            held: this process has the folder's lock; otherwise no process may have it.

        Raises:
            UnlearnError: it cannot be made; another process writes into it; or there is something in it, and neither
                --resume nor --overwrite was given or it is not a run's.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UnlearnError(f"--output-dir {self.path} is a file")
        if why := why_not_writable(self.path):
            raise UnlearnError(f"--output-dir {self.path} cannot be written: {why}")
        if not held:
            check_free(self.path)
        names = self._names()
        foreign = names
        if any(self._marked(name) for name in MARKS):
            foreign = sorted(set(names) - self._written(names)) if overwrite and not resume else []
        if foreign and (resume or overwrite):
            raise UnlearnError(
                f"{self.path} holds files that no run has written: {', '.join(foreign[:5])}", "choose another --output-dir"
            )
        if names and not (resume or overwrite or self.is_start):
            raise self._refusal()

    def _marked(self, name: str) -> bool:
        """Whether one of the files that show a run is here, and is no other program's of that name, nor an evaluation's."""
        held = _read_json(self.path / name)
        return isinstance(held, dict) and MARKS[name] <= set(held) and held.get("command", "forget") == "forget"

    def _written(self, names: list[str]) -> set[str]:
        """Those of these files and folders that a run writes; `.PROCESS.part` is what an interrupted writing leaves."""
        artifact = _read_json(self.path / REPORT).get("artifact") if self._marked(REPORT) else None
        saved = tuple(artifact["files"]) if artifact else SAVED
        return {
            name
            for name in names
            if (whole := re.sub(r"\.\d+\.part$", "", name)) in OURS or any(fnmatch(whole, one) for one in saved)
        }

    def _refusal(self) -> UnlearnError:
        if self._marked(REPORT):
            return UnlearnError(
                f"{self.path} holds a finished run", "--overwrite starts anew, or choose another --output-dir"
            )
        if self.is_run or self.read_plan() is not None:
            state, _ = unfinished(self.path)
            hint = "--resume goes on with it, --overwrite starts anew"
            return UnlearnError(f"{self.path} holds an unfinished run ({state})", hint)
        return UnlearnError(f"{self.path} is not empty", "choose another --output-dir")

    def open(self, *, clear: bool) -> None:
        """Make the folder, or with `clear` take away what a run has written into it."""
        self.path.mkdir(parents=True, exist_ok=True)
        held = self._written(self._names()) if clear else ()
        # The marks last: what an interruption leaves is a run's still.
        for name in sorted(held, key=lambda name: name in MARKS):
            _remove(self.path / name)

    def clear_start(self) -> None:
        """Take away what an earlier start has left, except for its measurements of the model before: those have keys."""
        held = [path for path in self.path.iterdir() if path.name in OF_A_START and path != self.measured]
        held += set(self.measured.glob("*")) - set(self.measured.glob(BEFORE))
        for path in held:
            _remove(path)

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Keep the resolved configuration beside the checkpoints."""
        write_atomically(self.plan, json.dumps(plan, indent=2, ensure_ascii=False, default=str) + "\n")

    def read_plan(self) -> dict[str, Any] | None:
        """The resolved configuration of the run that was started here, if one was."""
        return _read_json(self.plan) if self._marked(PLAN) else None

    def keep_lines(self, upto: int) -> list[dict[str, Any]]:
        """Cut `metrics.jsonl` back to the steps a checkpoint knows of; returns the lines of steps and of measurements."""
        if not self.metrics.is_file():
            return []
        kept = [line for line in read_complete_jsonl(self.metrics) if line["step"] <= upto]
        write_atomically(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))
        return kept

    def drop_checkpoints(self) -> None:
        """Take the checkpoints away: a finished run needs none, and each is three times as large as the adapter."""
        if self.checkpoints.is_dir():
            _remove(self.checkpoints)

    def append(self, line: StepRecord | dict[str, Any]) -> dict[str, Any]:
        """Add a line to `metrics.jsonl`; returns it as a dict."""
        entry = line if isinstance(line, dict) else asdict(line)
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return entry


def _read_json(path: Path) -> Any:
    """What a JSON file holds; None if it cannot be read."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
