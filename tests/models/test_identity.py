"""Hashes of weights, made once for each state of a file, and what a model is known by."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from unlearn_cli import hashing
from unlearn_cli.config import ModelOptions
from unlearn_cli.models import source as sources
from unlearn_cli.models.identity import identity
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


def model(folder: Path, adapter: str = "", composition: dict[str, int] | None = None) -> ModelSource:
    """A base, and an adapter whose weights are the text `adapter`."""
    for name, config, weights in (("base", "config.json", "base"), ("adapter", "adapter_config.json", adapter)):
        (folder / name).mkdir(parents=True)
        (folder / name / config).write_text(json.dumps({"r": 8, "base_model_name_or_path": str(folder)}))
        (folder / name / "model.safetensors").write_text(weights)
    own = ModelSource(str(folder / "adapter"), None) if adapter else None
    return ModelSource(str(folder / "base"), None, own, composition)


def test_a_model_is_its_content_not_its_place(tmp_path: Path) -> None:
    """The same files in another folder are the same model; another adapter, or another use of it, is another model."""
    options = ModelOptions()
    one, moved = (identity(model(tmp_path / place, "A"), options, "float32", "cpu") for place in ("one", "moved"))
    assert one == moved
    others = [
        identity(model(tmp_path / "none"), options, "float32", "cpu"),
        identity(model(tmp_path / "other", "B"), options, "float32", "cpu"),
        identity(model(tmp_path / "composed", "A", {"alpha": 1}), options, "float32", "cpu"),
        identity(model(tmp_path / "half", "A"), options, "float16", "cpu"),
        identity(model(tmp_path / "gpu", "A"), options, "float32", "cuda"),
    ]
    assert len({one, *others}) == 6
