"""Free main memory under the limits of control groups, which are folders."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from unlearn_cli.config import ModelOptions
from unlearn_cli.models import main_memory, memory, placement

MACHINE = 100_000


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Writes the files of a group, of version 2 or 1, on a machine with `MACHINE` bytes free."""
    monkeypatch.setattr(main_memory, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(main_memory, "OWN", tmp_path / "own")
    monkeypatch.setattr(main_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))

    def write(path: str, limit: object, used: int, cached: int = 0, *, version: int = 2) -> None:
        folder: Path = tmp_path / "cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        most, current, name = main_memory.V2 if version == 2 else main_memory.V1
        (folder / most).write_text(f"{limit}\n")
        (folder / current).write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 1\n{name} {cached}\n")

    def own(text: str) -> None:
        (tmp_path / "own").write_text(text)

    return SimpleNamespace(write=write, own=own)


def test_without_groups_the_machine_counts(group):
    assert main_memory.free() == MACHINE


def test_a_container_has_less_than_the_machine(group):
    """8,000 less 3,000 used, of which 500 are cached files."""
    group.own("0::/\n")
    group.write("", 8000, 3000, 500)
    cpu = torch.device("cpu")
    assert main_memory.free() == 5500 == memory.available(cpu)
    with placement.loading(ModelOptions(model="m", device_map="auto"), cpu) as arguments:
        assert arguments["max_memory"] == {"cpu": int(0.9 * 5500)}


def test_no_limit_is_the_machine(group):
    group.own("0::/\n")
    group.write("", "max", 3000)
    assert main_memory.free() == MACHINE


def test_the_tightest_group_around_counts(group):
    group.own("0::/user.slice/job\n")
    group.write("user.slice/job", "max", 100)
    group.write("user.slice", 4000, 1000)
    assert main_memory.free() == 3000


@pytest.mark.parametrize("path", ["/", "/docker/abc"])
def test_version_1_at_the_root_of_a_container(group, path):
    """The path may be that of the host, which the container does not see."""
    group.own(f"9:name=systemd:{path}\n8:memory:{path}\n1:cpu:{path}\n")
    group.write("memory", 6000, 2000, 1000, version=1)
    assert main_memory.free() == 5000


def test_a_limit_that_is_used_up_or_cannot_be_read(group):
    group.own("0::/\n")
    group.write("", 1000, 1200)
    assert main_memory.free() == 0
    group.write("", "nonsense", 0)
    assert main_memory.free() == MACHINE


def test_blocks_that_torch_keeps_on_a_card_are_free(monkeypatch):
    """The driver counts them as used: 1,000 free, and 300 kept of which 200 are in use."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert memory.available(torch.device("cuda")) == 1100
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert memory.available(torch.device("cuda"), spread=True) == 2200
