"""The energy counter of a device, where it has one that may be read: NVIDIA's by NVML, a processor's by Linux's powercap."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
SOURCES = {"cuda": "the GPU's own counter (NVML), without the machine around it", "cpu": "the processors' counters (RAPL)"}


def joules(device: torch.device) -> float | None:
    """Energy that a device has used since some moment in the past; None where it does not tell. Only differences mean
    something."""
    if device.type == "cuda":
        return _gpu(device)
    return _processors() if device.type == "cpu" else None


def used(first: float | None, last: float | None) -> float | None:
    """The difference of two readings; None where one is missing, or the counter has begun anew in between."""
    return None if first is None or last is None or last < first else last - first


def _gpu(device: torch.device) -> float | None:
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        name = f"GPU-{uuid}".encode()  # not the index: CUDA_VISIBLE_DEVICES changes what the first one is
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)):
            return None
        if nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)):
            return None
    except (OSError, AttributeError):
        return None
    return millijoules.value / 1000


def _processors() -> float | None:
    """The sum over processor packages; usually only root may read it, and no virtual machine has it."""
    try:
        readings = [int((zone / "energy_uj").read_text()) for zone in POWERCAP.glob("intel-rapl:?")]
    except (OSError, ValueError):
        return None
    return sum(readings) / 1e6 if readings else None
