"""Checkpoints: everything that a resumed run needs to reach the same floats.

Batches and rates are functions of the step. So a checkpoint consists of the trained weights, the states of optimizer and
random numbers, the step, and the values that a method or rule keeps between steps. If training ended early, the reason is
stored, too: a resumed run would not see the measurement or the loss behind it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import STEPS, Status

ANEW = "start anew with --overwrite"
KEYS = {"step", "key", "weights", "optimizer", "carried", "ended", "rng", "rng_cuda"}
Ended = tuple[Status, str]  # how training ended before its last step, and why


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, and references to the state that they store."""

    folder: Path
    key: str  # fingerprint of the configuration
    parameters: list[tuple[str, torch.nn.Parameter]]  # names and tensors that are trained
    optimizer: torch.optim.Optimizer
    state: dict[str, Any]  # tensors and numbers that go on from step to step (`Trainer.state`)

    def newest(self) -> Path | None:
        """The newest whole checkpoint, if there is one."""
        return max(self.folder.glob(STEPS), default=None)

    def save(self, step: int, ended: Ended | None = None) -> Path:
        """Write the state after `step` steps, whole or not at all, and drop the one before.

        Args:
            step: steps done.
            ended: why training ends here, if this is not the last planned step.
        """
        path = self.folder / f"step-{step:07d}.pt"
        contents: dict[str, Any] = {
            "step": step,
            "key": self.key,
            "weights": {name: tensor.detach().cpu() for name, tensor in self.parameters},
            "optimizer": self.optimizer.state_dict(),
            "carried": self.state,
            "ended": ended,
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        write_atomically(path, partial(_saved, contents))
        for old in self.folder.glob(STEPS):
            if old != path:
                old.unlink()
        return path

    def load(self, path: Path) -> tuple[int, Ended | None]:
        """Restore weights, optimizer, random state and `state`.

        Returns:
            the number of steps done, and why training ended there, if it did.

        Raises:
            UnlearnError: the checkpoint cannot be read, or belongs to another configuration or model.
        """
        try:
            contents = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of torch
            raise UnlearnError(f"{path} cannot be read: {str(error).splitlines()[0]}", ANEW) from error
        if not isinstance(contents, dict) or not set(contents) >= KEYS:
            raise UnlearnError(f"{path} is no checkpoint of a run", ANEW)
        if contents["key"] != self.key or set(contents["weights"]) != {name for name, _ in self.parameters}:
            raise UnlearnError(f"{path} belongs to another run", ANEW)
        with torch.no_grad():
            for name, tensor in self.parameters:
                tensor.copy_(contents["weights"][name])
        self.optimizer.load_state_dict(contents["optimizer"])
        device = self.parameters[0][1].device if self.parameters else torch.device("cpu")
        self.state.clear()
        self.state.update({name: _placed(value, device) for name, value in contents["carried"].items()})
        torch.set_rng_state(contents["rng"])
        if contents["rng_cuda"] and len(contents["rng_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(contents["rng_cuda"])
        return int(contents["step"]), contents["ended"]


def _saved(contents: dict[str, Any], path: Path) -> None:
    """Write a file of torch. Of a path torch would not say why it cannot be written, of an open file it does."""
    with path.open("wb") as file:
        torch.save(contents, file)


def _placed(value: Any, device: torch.device) -> Any:
    """Tensors of a nested value on `device`."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _placed(inner, device) for name, inner in value.items()}
    return [_placed(inner, device) for inner in value] if isinstance(value, list) else value
