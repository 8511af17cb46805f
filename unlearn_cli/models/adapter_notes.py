"""What is odd about an adapter that a model arrives with: it changes nothing, or it was trained on other weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unlearn_cli.jsonfile import read_object
from unlearn_cli.models.run_files import ABOUT, COPY_AGAIN
from unlearn_cli.models.source import ModelSource
from unlearn_cli.report import FILE, read_report

Precision = tuple[torch.dtype, str | None]  # of the weights, and how they are quantized


def adapter_notes(model: Any, adapter: ModelSource | None, precision: Precision) -> list[str]:
    """What is odd about the adapter of a loaded model, in words.

    Args:
        model: with the adapter on.
        adapter: where it came from; None: it has none.
        precision: of the base as it is loaded now.
    """
    if adapter is None:
        return []
    notes = []
    second = [weight for name, weight in model.named_parameters() if ".lora_B." in name]
    if second and not any(bool(weight.any()) for weight in second):
        notes.append(f"the adapter {adapter.location} changes nothing: all its lora_B matrices are zero")
    place = Path(adapter.location)
    run = place if (place / ABOUT).is_file() else place.parent  # an assistant lies in a folder of its run
    trained, now = _trained_on(run), _in_words(str(precision[0]).removeprefix("torch."), precision[1])
    if trained is not None and trained != now:
        notes.append(f"the adapter {adapter.location} was trained on a base in {trained}, and this one is in {now}")
    return notes


def _trained_on(run: Path) -> str | None:
    """The precision of the base that the adapter of a run was trained on; None where nothing tells."""
    if not (run / ABOUT).is_file() or not (run / FILE).is_file():
        return None
    model = read_report(run).model
    return None if model is None else _in_words(model.dtype, read_object(run / ABOUT, COPY_AGAIN).get("quantization"))


def _in_words(dtype: str, quantization: str | None) -> str:
    return f"{quantization} and {dtype}" if quantization else dtype
