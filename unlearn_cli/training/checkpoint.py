"""Checkpoints: everything that a run needs to go on to the same floats.

Batches and rates are functions of the step, so trained weights, optimiser state, random state, the step and what a
method or rule carries on from step to step are all. Where training ended early, the reason is kept too: it came of a
measurement or a loss that a resumed run does not see again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import STEPS, Status

Ended = tuple[Status, str]  # how training ended before its last step, and why


def save_checkpoint(
    folder: Path,
    step: int,
    parameters: list[tuple[str, torch.nn.Parameter]],
    optimizer: torch.optim.Optimizer,
    key: str,
    carried: dict[str, Any],
    ended: Ended | None = None,
) -> Path:
    """Write the state after `step` steps, whole or not at all, and drop the one before.

    Args:
        folder: where checkpoints are kept.
        step: steps done.
        parameters: names and tensors that are trained.
        optimizer: its state is saved along.
        key: fingerprint of the configuration.
        carried: tensors and numbers that go on from step to step (`Trainer.state`).
        ended: why no step comes after this one, if it is not the last one planned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:07d}.pt"
    state: dict[str, Any] = {
        "step": step,
        "key": key,
        "weights": {name: tensor.detach().cpu() for name, tensor in parameters},
        "optimizer": optimizer.state_dict(),
        "carried": carried,
        "ended": ended,
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    write_atomically(path, lambda part: torch.save(state, part))
    for old in folder.glob(STEPS):
        if old != path:
            old.unlink()
    return path


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint, if there is one."""
    found = sorted(folder.glob(STEPS))
    return found[-1] if found else None


def load_checkpoint(
    path: Path,
    parameters: list[tuple[str, torch.nn.Parameter]],
    optimizer: torch.optim.Optimizer,
    key: str,
    carried: dict[str, Any],
) -> tuple[int, Ended | None]:
    """Restore weights, optimiser, random state and what is carried on.

    Returns:
        the number of steps done, and why training ended there, if it did.

    Raises:
        UnlearnError: the checkpoint belongs to another configuration or model.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    names = {name for name, _ in parameters}
    if state["key"] != key or names != set(state["weights"]):
        raise UnlearnError(f"{path} belongs to another run", "start anew with --overwrite")
    with torch.no_grad():
        for name, tensor in parameters:
            tensor.copy_(state["weights"][name])
    optimizer.load_state_dict(state["optimizer"])
    carried.clear()
    device = parameters[0][1].device if parameters else torch.device("cpu")
    carried.update({name: _placed(value, device) for name, value in state["carried"].items()})
    torch.set_rng_state(state["rng"])
    if state["rng_cuda"] and len(state["rng_cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["rng_cuda"])
    return int(state["step"]), state["ended"]


def _placed(value: Any, device: torch.device) -> Any:
    """Tensors of a nested value on `device`."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _placed(inner, device) for name, inner in value.items()}
    return [_placed(inner, device) for inner in value] if isinstance(value, list) else value
