"""The files of a saved adapter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.models.tiny import load
from unlearn_cli.config import LoraOptions
from unlearn_cli.models.adapter import attach, save
from unlearn_cli.models.run_files import ADAPTER_CONFIG


def test_settings_of_an_adapter_have_one_order(tmp_path: Path) -> None:
    """Two equal runs write the same bytes: PEFT holds the names of modules in a set, whose order no process shares."""
    other: Any = {
        "tokenizer": SimpleNamespace(save_pretrained=lambda folder: None),
        "source": SimpleNamespace(location="b", revision=None),
    }
    loaded = replace(load("llama-gqa"), **other)
    attach(loaded, LoraOptions(lora_r=2), seed=0)
    save(loaded, tmp_path)
    modules = json.loads((tmp_path / ADAPTER_CONFIG).read_text())["target_modules"]
    assert len(modules) > 4 and modules == sorted(modules)
