"""The energy counters of devices."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest
import torch

from unlearn_cli.models import energy


def test_a_difference_needs_two_readings_of_one_counter():
    assert energy.used(3.0, 5.5) == 2.5
    assert energy.used(None, 5.5) is None and energy.used(3.0, None) is None
    assert energy.used(5.0, 1.0) is None  # it has begun anew


def test_processors_are_summed(tmp_path, monkeypatch):
    for number, value in enumerate((2_000_000, 3_500_000)):
        (tmp_path / f"intel-rapl:{number}").mkdir()
        (tmp_path / f"intel-rapl:{number}" / "energy_uj").write_text(f"{value}\n")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert energy.joules(torch.device("cpu")) == 5.5
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    assert energy.joules(torch.device("cpu")) is None


@pytest.mark.parametrize(("status", "joules"), [(0, 1.5), (3, None)])
def test_a_gpu_is_asked_by_its_own_name(monkeypatch, status, joules):
    """A stand-in for NVML: this machine has no GPU. The counter is in millijoules."""
    asked_for = []

    def by_uuid(name, handle):
        asked_for.append(name)
        return 0

    def total(handle, reading):
        ctypes.cast(reading, ctypes.POINTER(ctypes.c_ulonglong))[0] = 1500
        return status

    library = SimpleNamespace(
        nvmlInit_v2=lambda: 0, nvmlDeviceGetHandleByUUID=by_uuid, nvmlDeviceGetTotalEnergyConsumption=total
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    assert energy.joules(torch.device("cuda", 0)) == joules and asked_for == [b"GPU-abc"]


def test_a_machine_without_nvml_does_not_tell(monkeypatch):
    def absent(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    assert energy.joules(torch.device("cuda", 0)) is None and energy.joules(torch.device("mps")) is None
