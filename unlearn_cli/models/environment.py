"""Versions, devices and threads of this machine, for the report and for bug reports."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

import psutil
import torch

from unlearn_cli import __version__

PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "huggingface_hub", "safetensors",
    "numpy", "scipy", "pydantic", "typer", "rouge_score",
)  # fmt: skip


def environment(placement: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Versions of the libraries that decide results, and the machine.

    Args:
        placement: number of weights on each device, of a model that is spread over several.
    """
    return {
        "unlearn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cpu_threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "cuda": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "offline": os.environ.get("HF_HUB_OFFLINE", "0") == "1",
        **({"placement": dict(placement)} if placement else {}),
    }


def lines(facts: Mapping[str, Any]) -> list[str]:
    """The same as text, a fact on each line and the packages among them."""
    packages = {name: version or "not installed" for name, version in facts["packages"].items()}
    others = {name: value for name, value in facts.items() if name != "packages"}
    others["memory"] = f"{facts['memory'] / 2**30:.1f} GiB"
    others["devices"] = ", ".join(facts["devices"]) or "no GPU"
    said = {True: "yes", False: "no", None: "none"}
    plain = {name.replace("_", " "): said[v] if v is None or isinstance(v, bool) else v for name, v in others.items()}
    both = plain | packages
    width = max(map(len, both))
    return [f"{name:<{width}}  {value}" for name, value in both.items()]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
