"""Choose the device and the precision in which a model is run."""

from __future__ import annotations

from typing import Any

import torch

from unlearn_cli import launched
from unlearn_cli.errors import UnlearnError


def resolve_device(choice: str) -> torch.device:
    """The device that `choice` names; for "auto" the first available one of cuda, mps, cpu.

    Raises:
        UnlearnError: `choice` is no device, or this machine does not have it.
    """
    if choice == "auto":
        choice = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(choice)
    except RuntimeError:
        raise UnlearnError(f"'{choice}' is not a device", "use auto, cpu, mps, cuda or cuda:1") from None
    if device.type == "cuda":
        if launched.count() > 1:
            device = _own_device(device)
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise UnlearnError(f"no device '{choice}': {count} CUDA devices here", "see `unlearn env`; --device cpu works")
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UnlearnError("no device 'mps' here", "see `unlearn env`; --device cpu works")
    return device


def _own_device(device: torch.device) -> torch.device:
    """The GPU of this process among several."""
    if device.index is not None:
        raise UnlearnError(
            f"--device {device} for {launched.count()} processes", "--device cuda: each process takes a GPU of its own"
        )
    return torch.device("cuda", launched.local_rank())


def resolve_dtype(choice: str, config: Any, device: torch.device) -> torch.dtype:
    """The dtype that `choice` names; for "auto" the checkpoint's, or the nearest one that the device can compute in."""
    if choice != "auto":
        return getattr(torch, choice)
    dtype = config.dtype or torch.float32
    if device.type == "cpu" and dtype == torch.float16:
        return torch.float32
    if device.type == "cuda" and dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return dtype
