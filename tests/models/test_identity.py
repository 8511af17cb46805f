"""Hashes of weights: made once for each state of a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unlearn_cli import hashing
from unlearn_cli.models import source as sources
from unlearn_cli.models.source import ModelSource


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read."""
    names, honest = [], hashing.file_sha256

    def counting(path: Path) -> str:
        names.append(path.name)
        return honest(path)

    monkeypatch.setattr(hashing, "file_sha256", counting)
    return names


def test_a_file_is_hashed_once_and_a_changed_one_anew(tmp_path: Path, hashed: list[str]) -> None:
    source = ModelSource(str(tmp_path), None)
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    first = sources.weights_sha256(source)
    assert sources.weights_sha256(source) == first
    assert hashed == ["a.safetensors", "b.safetensors"]
    (tmp_path / "b.safetensors").write_bytes(b"WEIGHTS")  # of the same size
    os.utime(tmp_path / "b.safetensors", ns=(0, 1))  # a clock may be too coarse for a test
    second = sources.weights_sha256(source)
    assert second != first and hashed[2:] == ["b.safetensors"]
