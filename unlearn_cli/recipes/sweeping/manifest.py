"""What a sweep has asked of each of its run folders, so that a folder is never taken for another setting's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import parse_json
from unlearn_cli.recipes.storage.run_spec import RunSpec, differences
from unlearn_cli.report import FILE, LEDGER

State = Literal["new", "started", "finished"]


class Ledger:
    """`sweep.json`: what was asked of each run folder.

    Raises:
        UnlearnError: there is a file of that name which is none.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        self._held = _read(self._path) if self._path.is_file() else {}

    def state(self, name: str, spec: RunSpec, *, overwrite: bool) -> State:
        """How far the run of this setting is.

        Raises:
            UnlearnError: the folder holds a run of another setting, or something else, and is not to be overwritten.
        """
        folder = self._path.parent / name
        if not folder.is_dir() or not any(folder.iterdir()):
            return "new"
        held = self._held.get(name)
        told = None if held is None else differences(held["asked"], spec.flat())
        if told == []:
            return "finished" if (folder / FILE).is_file() else "started"
        if overwrite:
            return "new"
        hint = "another --output-dir, or --overwrite"
        if told is None:
            raise UnlearnError(f"{folder} is not of this sweep", hint)
        raise UnlearnError(f"{name} was run with other settings ({'; '.join(told)})", hint)

    def note(self, name: str, spec: RunSpec) -> None:
        """Write down what is about to be asked of a folder."""
        self._held[name] = {"asked": spec.flat()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(self._held, indent=2, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        held = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict) or not all(isinstance(one, dict) and "asked" in one for one in held.values()):
        raise UnlearnError(
            f"{path} is broken, or no sweep's", "another --output-dir; or remove it, and --overwrite runs all settings anew"
        )
    return held
