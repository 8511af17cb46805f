"""What a sweep has asked of each of its run folders, so that a folder is never taken for another setting's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import FILE, fingerprint, write_text

LEDGER = "sweep.json"
State = Literal["new", "started", "finished"]


@dataclass(frozen=True)
class Asked:
    """Everything that decides what a run comes to."""

    settings: dict[str, Any]  # resolved, without those that change no result
    model: str  # fingerprint of the weights and of how they are loaded
    data: dict[str, str]  # split -> sha256

    @property
    def sha256(self) -> str:
        """One hash of it all."""
        return fingerprint(self.settings, self.model, self.data)

    def flat(self) -> dict[str, Any]:
        """By name, to tell what changed."""
        return {**self.settings, "model weights": self.model, **{f"{name} data": sha for name, sha in self.data.items()}}


class Ledger:
    """`sweep.json`: what was asked of each run folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        self._held: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else {}

    def state(self, name: str, asked: Asked, *, overwrite: bool) -> State:
        """How far the run of this setting is.

        Raises:
            UnlearnError: the folder holds a run of another setting, or something else, and is not to be overwritten.
        """
        folder = self._path.parent / name
        if not folder.exists() or not any(folder.iterdir()):
            return "new"
        held = self._held.get(name)
        if held is not None and held["sha256"] == asked.sha256:
            return "finished" if (folder / FILE).is_file() else "started"
        if overwrite:
            return "new"
        if held is None:
            raise UnlearnError(f"{folder} is not of this sweep", "another --output-dir, or --overwrite")
        old, new = held["asked"], asked.flat()
        told = "; ".join(f"{k}: {old.get(k)} -> {new.get(k)}" for k in {**old, **new} if old.get(k) != new.get(k))
        raise UnlearnError(f"{name} was run with other settings ({told})", "another --output-dir, or --overwrite")

    def note(self, name: str, asked: Asked) -> None:
        """Write down what is about to be asked of a folder."""
        self._held[name] = {"sha256": asked.sha256, "asked": asked.flat()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, json.dumps(self._held, indent=2, ensure_ascii=False, default=str) + "\n")
