"""An adapter merged into its base: a plain model that needs no PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from unlearn_cli.atomic import writing
from unlearn_cli.config import ModelOptions
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.device import resolve_device, resolve_dtype
from unlearn_cli.models.load import load_config, load_model, load_tokenizer
from unlearn_cli.models.source import ModelSource


def merged(source: ModelSource, options: ModelOptions, *, dequantized: bool) -> Any:
    """The base with the adapter added to its weights, as a transformers model.

    Args:
        source: an adapter on its base.
        options: how the base is loaded.
        dequantized: take the base's weights as 4-bit rounding left them, which is what the adapter was trained on.

    Raises:
        UnlearnError: a file cannot be read, or weights are not finite after merging.
    """
    device = resolve_device(options.device)
    config = load_config(source, options)
    dtype = resolve_dtype(options.dtype, config, device)
    if dequantized:
        base = options.model_copy(
            update={"model": source.location, "revision": source.revision, "base": None, "load_in_4bit": True}
        )
        model = load_model(base).model.dequantize().to(dtype)
    else:
        with boundary(source.location):
            model = AutoModelForCausalLM.from_pretrained(
                source.location, revision=source.revision, dtype=dtype, device_map={"": device},
                trust_remote_code=options.trust_remote_code,
            )  # fmt: skip
    assert source.adapter is not None
    arguments: dict[str, Any] = {"revision": source.adapter.revision} if source.adapter.revision else {}
    with boundary(source.adapter.location):
        whole = PeftModel.from_pretrained(model, source.adapter.location, **arguments)
    try:
        return whole.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise UnlearnError(
            f"the adapter cannot be merged: {error}", "load the run as it is: unlearn_cli.load(RUN)"
        ) from None


def save_merged(model: Any, source: ModelSource, options: ModelOptions, folder: Path) -> None:
    """Write a merged model, its generation config and the run's tokenizer.

    Raises:
        StorageError: the folder cannot be written.
    """
    config = model.config
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(config, name):
            delattr(config, name)
    model.set_attn_implementation("sdpa")
    tokenizer = load_tokenizer(source, options)[0]
    with torch.no_grad(), writing(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)
