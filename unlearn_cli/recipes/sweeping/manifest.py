"""The manifest of a sweep: the run spec of each run folder. So a folder is never used for another setting."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import parse_json
from unlearn_cli.recipes.storage.run_spec import RunSpec, differences
from unlearn_cli.report import FILE, MANIFEST

State = Literal["new", "started", "finished"]
SPEC = "asked"  # key of a run spec in the file
TRIAL = "trial"  # key of a trial of --search


@dataclass(frozen=True)
class Trial:
    """A setting that a search chose."""

    number: int  # from 0
    parameters: dict[str, Any]  # by name in the search
    pruned: int | None = None  # step after which it was ended early


class Manifest:
    """`sweep.json`: name of a run folder -> its run spec.

    Raises:
        UnlearnError: the file is not a manifest.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MANIFEST
        self._entries = _read(self._path) if self._path.is_file() else {}

    def state(self, name: str, spec: RunSpec, *, overwrite: bool) -> State:
        """Whether the run in this folder is new, started or finished.

        Raises:
            UnlearnError: the folder has a run of another setting or other files, and `overwrite` is not set.
        """
        folder = self._path.parent / name
        if not folder.is_dir() or not any(folder.iterdir()):
            return "new"
        entry = self._entries.get(name)
        changes = None if entry is None else differences(entry[SPEC], spec.flat())
        if changes == []:
            return "finished" if (folder / FILE).is_file() else "started"
        if overwrite:
            return "new"
        hint = "another --output-dir, or --overwrite"
        if changes is None:
            raise UnlearnError(f"{folder} does not belong to this sweep", hint)
        raise UnlearnError(f"{name} was run with other settings ({'; '.join(changes)})", hint)

    def record(self, name: str, spec: RunSpec, trial: Trial | None = None) -> None:
        """Write the spec of a folder before its run starts, with the trial of a search."""
        self._entries[name] = {SPEC: spec.flat(), **({TRIAL: asdict(trial)} if trial else {})}
        self._write()

    def prune(self, name: str, step: int) -> None:
        """Write that a trial was ended early, after a step."""
        self._entries[name][TRIAL]["pruned"] = step
        self._write()

    def trials(self) -> dict[str, Trial]:
        """Name of a run folder -> trial of a search, in order.

        Raises:
            UnlearnError: the file is broken.
        """
        entries = {name: entry[TRIAL] for name, entry in self._entries.items() if TRIAL in entry}
        try:
            trials = TypeAdapter(dict[str, Trial]).validate_python(entries)
        except ValidationError:
            raise _broken(self._path) from None
        return dict(sorted(trials.items(), key=lambda item: item[1].number))

    def _write(self) -> None:
        write_atomically(self._path, json.dumps(self._entries, indent=2, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        entries = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        entries = None
    known = isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values())
    if not known or not all(isinstance(entry.get(SPEC), dict) for entry in entries.values()):
        raise _broken(path)
    return entries


def _broken(path: Path) -> UnlearnError:
    return UnlearnError(
        f"{path} is broken, or not of a sweep", "another --output-dir; or remove it, and --overwrite runs all settings again"
    )
