"""Reference log-probabilities of a fixed set of rows: computed once, stored in the run folder, read afterwards.

A method cannot tell a stored reference from a live one: both are Outputs on the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.outputs import Outputs

Key = tuple[str, int]  # group ("forget", "alternative") and a number within it


class StoredReference:
    """Token log-probabilities under the reference, by key."""

    def __init__(self, logps: Mapping[Key, np.ndarray]) -> None:
        self._logps = dict(logps)

    def outputs(self, keys: Sequence[Key], policy: Outputs) -> Outputs:
        """The reference's Outputs on the rows whose policy Outputs are `policy`, in the same order."""
        logps = torch.zeros_like(policy.token_logps, requires_grad=False)
        for row, key in enumerate(keys):
            stored = self._logps[key]
            logps[row, : len(stored)] = torch.from_numpy(stored)
        return Outputs(logps, policy.targets, policy.mask)


class ReferenceFile(NamedTuple):
    """Where a reference is stored."""

    folder: Path
    key: str  # fingerprint of model, template and rows; another key is another file

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.folder / f"{self.key[:16]}.safetensors"


def compute(
    loaded: LoadedModel,
    rows: Mapping[Key, Row],
    known: Mapping[Key, np.ndarray],
    file: ReferenceFile,
    *,
    token_budget: int,
    advance: Callable[[int], None] = lambda n: None,
) -> StoredReference:
    """The reference of `rows`, from the store if it is there, and stored otherwise.

    Args:
        loaded: the model before training, which is the reference.
        rows: the rows that a reference is needed for.
        known: log-probabilities [answer tokens] that a measuring pass has already found for some of them.
        file: where the reference is stored.
        token_budget: tokens of one pass.
        advance: told how many rows are done.
    """
    if not rows:
        return StoredReference({})
    names, path = list(rows), file.path
    if path.is_file():
        return StoredReference(_read(path, names, file.key))
    missing = [name for name in names if name not in known]
    scored = teacher_forced(loaded, [rows[name] for name in missing], token_budget, advance) if missing else None
    logps = {name: known[name] for name in names if name in known}
    logps.update(zip(missing, scored.token_logps if scored else (), strict=True))
    file.folder.mkdir(parents=True, exist_ok=True)
    flat = np.concatenate([logps[name] for name in names]).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum([len(logps[name]) for name in names])]).astype(np.int64)
    arrays: dict[str, np.ndarray] = {"token_logps": flat, "offsets": offsets}
    write_atomically(path, lambda part: save_file(arrays, part, metadata={"key": file.key}))
    return StoredReference(logps)


def _read(path: Path, names: Sequence[Key], key: str) -> dict[Key, np.ndarray]:
    with safe_open(path, framework="np") as file:
        if file.metadata()["key"] != key:
            raise UnlearnError(f"{path} belongs to another model or other rows", "start anew with --overwrite")
        flat, offsets = file.get_tensor("token_logps"), file.get_tensor("offsets")
    return dict(zip(names, np.split(flat, offsets[1:-1]), strict=True))
