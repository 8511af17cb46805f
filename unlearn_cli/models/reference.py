"""The reference on a fixed set of rows, computed once. Log-probabilities are stored on disk, hidden states in memory.

For a method, a stored reference and a live one are the same: both are Outputs on the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data.batch import pack, packs
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.forward import answer_hidden, gather, head_of
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


class StoredStates:
    """Last hidden states under the reference, by key; the vocabulary head is run on them again in each step.

    A distribution over the vocabulary is too large to be kept for every answer token, and the states that it is projected
    from are not: a step then costs the head alone instead of a whole forward pass.
    """

    def __init__(self, states: Mapping[Key, Tensor], project: Callable[[Tensor], Tensor]) -> None:
        self._states = dict(states)
        self._project = project

    def outputs(self, keys: Sequence[Key], policy: Outputs) -> Outputs:
        """The reference's Outputs, with logits, on the rows whose policy Outputs are `policy`, in the same order."""
        states = [self._states[key] for key in keys]
        targets = policy.targets[policy.mask]
        with torch.no_grad():
            logits = self._project(torch.cat(states).to(targets.device)).float().to(targets.device)
            logps = logits.log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
        return gather(logps, targets, [len(part) for part in states], logits=logits)


@torch.no_grad()
def answer_states(
    loaded: LoadedModel, rows: Mapping[Key, Row], *, token_budget: int, advance: Callable[[int], None] = lambda n: None
) -> StoredStates:
    """The last hidden states [answer tokens, H] of rows, and the head, of the model as it is now. They stay on the CPU.

    Arguments as for `compute`.
    """
    loaded.model.eval()
    keys = list(rows)
    states: dict[Key, Tensor] = {}
    for members in packs([len(row.input_ids) for row in rows.values()], token_budget):
        chosen = [rows[keys[i]] for i in members]
        batch = pack({"rows": chosen}, share=loaded.layout.shares_in_steps).to(loaded.device)
        parts = answer_hidden(loaded.model, batch, loaded.layout).cpu().split([row.answer_length for row in chosen])
        states.update(zip((keys[i] for i in members), parts, strict=True))
        advance(len(members))
    return StoredStates(states, head_of(loaded.model))


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
    """The reference of `rows`: read from its file, or computed and written there.

    Args:
        loaded: the model before training, which is the reference.
        rows: the rows that a reference is needed for.
        known: log-probabilities [answer tokens] of some rows, from an earlier measurement.
        file: where the reference is stored.
        token_budget: tokens of one pass.
        advance: called with numbers of finished rows.
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
