"""The folder of one run: the paths of its files, and the checks before a command writes into it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from unlearn_cli.atomic import write_atomically, writing
from unlearn_cli.config import DERIVED, ForgetConfig
from unlearn_cli.data.written import FILE as WRITTEN
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import holds_texts
from unlearn_cli.jsonfile import parse_json, read_complete_jsonl
from unlearn_cli.lineage import FOLDER as LINEAGE
from unlearn_cli.models.run_files import ABOUT, ASSISTANT
from unlearn_cli.recipes.storage.lock import LOCK, check_free
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.report import CHECKPOINTS, EVALUATION, ROWS, RUN_SPEC, STEPS, unfinished
from unlearn_cli.report import FILE as REPORT
from unlearn_cli.report_parts import problem_of

if TYPE_CHECKING:
    from unlearn_cli.training.loop import StepRecord  # imports torch, which most users of this file do not need

ABOUT_ROWS = "written"  # rows that the model wrote for --about
# Names of files and folders that a run writes.
OURS = {
    REPORT,
    ABOUT,
    ASSISTANT,
    "metrics.jsonl",
    RUN_SPEC,
    "README.md",
    "measured",
    "reference",
    CHECKPOINTS,
    "attacks",
    "alternatives.json",
    WRITTEN,
    ABOUT_ROWS,
    ROWS,
    EVALUATION,
    "tracking",
    LINEAGE,
    DERIVED,
    LOCK,
}
# Files of a saved adapter, model and tokenizer. The report lists them, but a run that stops before its report has no list.
SAVED = (
    "adapter_config.json", "adapter_model.*", "model.safetensors*", "model-*.safetensors", "config.json",
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "chat_template.*", "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip
# Files that identify a run folder, and the keys in each: other projects may have files with the names in OURS.
MARKS = {
    REPORT: {"schema_version", "command", "scores"},
    ABOUT: {"kind", "base_model"},
    RUN_SPEC: {"settings", "model", "data"},
}
# Files of a run that stopped before its first checkpoint. They may be removed; measurements are reused by their own keys.
OF_A_START = {
    RUN_SPEC, "metrics.jsonl", "measured", "reference", CHECKPOINTS, "alternatives.json", WRITTEN, ABOUT_ROWS, "tracking",
}  # fmt: skip
BEFORE = "before-*"  # measurements of the model before training


def default_output(config: ForgetConfig) -> Path:
    """The run folder without --output-dir: runs/MODEL-METHOD in the working directory."""
    return Path("runs") / f"{Path(config.model).name}-{Path(config.method).stem}"


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
        """Alternative answers that the model generated, for methods that train towards them."""
        return self.path / "alternatives.json"

    @property
    def written_retain(self) -> Path:
        """Retain rows that the model wrote, in a run with --retain auto."""
        return self.path / WRITTEN

    @property
    def written(self) -> Path:
        """The folder of rows that the model wrote, in a run with --about."""
        return self.path / ABOUT_ROWS

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def run_spec(self) -> Path:
        """The run spec, which --resume compares with."""
        return self.path / RUN_SPEC

    @property
    def rows(self) -> Path:
        """Every metric's value for every row, after training."""
        return self.path / ROWS

    @property
    def metrics(self) -> Path:
        """One line for each training step."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """The report; written last."""
        return self.path / REPORT

    def texts(self) -> list[str]:
        """Files that contain rows or answers as plain text, as paths inside the folder."""
        measured = sorted(path.stem for path in self.measured.glob("*.safetensors"))
        files = [f"measured/{name}.jsonl" for name in measured if holds_texts(self.measured, name)]
        files += [f"{ABOUT_ROWS}/{path.name}" for path in sorted(self.written.glob("*.jsonl"))]
        return files + [path.name for path in (self.alternatives, self.written_retain) if path.is_file()]

    @property
    def is_run(self) -> bool:
        """Whether a new start would lose results: a report, or training steps in a checkpoint."""
        return self._marked(REPORT) or any(self.checkpoints.glob(STEPS))

    @property
    def is_start(self) -> bool:
        """Whether a run was started here, and has no results except measurements."""
        return self.read_spec() is not None and not self.is_run and set(self._names()) <= OF_A_START

    def _names(self) -> list[str]:
        """Names of the files and folders inside, without the lock."""
        return sorted(path.name for path in self.path.iterdir() if path.name != LOCK) if self.path.is_dir() else []

    def check(self, *, resume: bool, overwrite: bool, locked: bool = False) -> None:
        """Check that a run may write into the folder. Changes nothing.

        Args:
            resume: the run that was started there is continued.
            overwrite: the files of an earlier run are replaced.
            locked: this process has the folder's lock; otherwise no process may have it.

        Raises:
            UnlearnError: the folder cannot be created; another process writes into it; it is not empty, and neither
                --resume nor --overwrite is given; or it has files that no run wrote.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UnlearnError(f"--output-dir {self.path} is a file", "choose a folder that is empty or does not exist")
        if why := why_not_writable(self.path):
            raise UnlearnError(f"--output-dir {self.path} cannot be written: {why}", "another --output-dir")
        if not locked:
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
        """Whether a file of MARKS exists and was written by a run, not by another program or an evaluation."""
        content = _read_json(self.path / name)
        return isinstance(content, dict) and MARKS[name] <= set(content) and content.get("command", "forget") == "forget"

    def _written(self, names: list[str]) -> set[str]:
        """Those of these names that a run writes. The file of an interrupted write ends in `.PROCESS.part`."""
        artifact = _read_json(self.path / REPORT).get("artifact") if self._marked(REPORT) else None
        saved = tuple(artifact["files"]) if artifact else SAVED
        return {
            name
            for name in names
            if (whole := re.sub(r"\.\d+\.part$", "", name)) in OURS or any(fnmatch(whole, pattern) for pattern in saved)
        }

    def _refusal(self) -> UnlearnError:
        if self._marked(REPORT):
            return UnlearnError(
                f"{self.path} holds a finished run", "--overwrite starts anew, or choose another --output-dir"
            )
        if self.is_run or self.read_spec() is not None:
            state, _ = unfinished(self.path) or ("nothing is kept", "")
            hint = "--resume continues it, --overwrite starts anew"
            return UnlearnError(f"{self.path} holds an unfinished run ({state})", hint)
        return UnlearnError(f"{self.path} is not empty", "choose another --output-dir")

    def open(self, *, clear: bool) -> None:
        """Create the folder. With `clear`, also remove the files that a run wrote into it."""
        self.path.mkdir(parents=True, exist_ok=True)
        old = self._written(self._names()) if clear else set()
        # Files of MARKS are removed last, so that an interruption leaves a folder that is recognized as a run's.
        for name in sorted(old, key=lambda name: name in MARKS):
            remove(self.path / name)

    def clear_start(self) -> None:
        """Remove the files of an earlier start, except those with a key: measurements before training, and written rows."""
        with_key = (self.measured, self.written_retain)
        old = [path for path in self.path.iterdir() if path.name in OF_A_START and path not in with_key]
        old += set(self.measured.glob("*")) - set(self.measured.glob(BEFORE))
        for path in old:
            remove(path)

    def write_spec(self, spec: RunSpec, *, steps: int | None = None) -> None:
        """Write the spec of the run. `steps` is its number of training steps, once it is known."""
        content = json.dumps(spec.to_json(steps=steps), indent=2, ensure_ascii=False, default=str)
        write_atomically(self.run_spec, content + "\n")

    def read_spec(self) -> RunSpec | None:
        """The spec of the run that was started here; None if there is none.

        Raises:
            UnlearnError: the file was not written by a run.
        """
        if not self._marked(RUN_SPEC):
            return None
        try:
            return RunSpec.from_json(_read_json(self.run_spec))
        except ValidationError as error:
            raise UnlearnError(f"{self.run_spec} is broken: {problem_of(error)}", "--overwrite starts anew") from None

    def keep_lines(self, upto: int) -> list[dict[str, Any]]:
        """Remove the lines of `metrics.jsonl` after step `upto`, which a checkpoint has. Returns the lines that stay."""
        if not self.metrics.is_file():
            return []
        lines = [line for line in read_complete_jsonl(self.metrics) if line["step"] <= upto]
        write_atomically(self.metrics, "".join(json.dumps(line) + "\n" for line in lines))
        return lines

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints. A finished run needs none, and each is three times as large as the adapter."""
        if self.checkpoints.is_dir():
            remove(self.checkpoints)

    def append(self, line: StepRecord | dict[str, Any]) -> dict[str, Any]:
        """Add a line to `metrics.jsonl`. Returns it as a dict."""
        entry = line if isinstance(line, dict) else asdict(line)
        with writing(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return entry


def _read_json(path: Path) -> Any:
    """The content of a JSON file; None if it cannot be read."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def remove(path: Path) -> None:
    """Remove a file or a folder; of a link the link.

    Raises:
        StorageError: the system refuses.
    """
    with writing(path):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
