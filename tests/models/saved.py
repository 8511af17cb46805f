"""Tiny random checkpoints on disk, whole or spoilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from unlearn_cli.config import ModelOptions
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.recipes.demo import ASSETS

TOKENIZER = transformers.AutoTokenizer.from_pretrained(ASSETS / "model")
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def tiny(name: str, scale: float = 1.0, **settings: Any) -> Any:
    """A random causal model of the config class `name`; matrices are `scale` times as large as usual."""
    torch.manual_seed(0)
    config = getattr(transformers, name)(vocab_size=len(TOKENIZER), **settings)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if weight.dim() > 1 and "A_log" not in path:
                weight.mul_(scale)
    return model


def llama(**settings: Any) -> Any:
    """A random Llama."""
    return tiny("LlamaConfig", **SIZES, **ENDS, **{"max_position_embeddings": 256, "tie_word_embeddings": False} | settings)


def save(model: Any, folder: Path) -> Path:
    """A checkpoint with the demo's tokenizer."""
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def edited(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    """The checkpoint with other weights."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return folder


def load(folder: Path, **options: Any) -> LoadedModel:
    """As the command line loads it, on the CPU."""
    return load_model(ModelOptions(model=str(folder), device="cpu", **options))
