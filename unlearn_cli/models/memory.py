"""Memory: an estimate of what a run needs, made without weights; and the peak that it used."""

from __future__ import annotations

import gc
import re
import sys
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from unlearn_cli.config import LoraOptions
from unlearn_cli.limits import GIB, bounded
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.depth import blocks_below, lower_blocks

if sys.platform != "win32":
    import resource

BUILDING_BYTES, BUILDING_SECONDS = 4 * GIB, 120.0  # that modules without weights may take, however many a config wants
NF4_BYTES = 0.5 + 0.127 / 8  # half a byte, and doubly quantized scales of 0.127 bit a weight
LINEAR = (torch.nn.Linear, Conv1D)


@dataclass(frozen=True)
class Estimate:
    """Bytes, by purpose. Arithmetic, not a measurement; activations are the least certain part."""

    base: int
    adapter: int  # weights, gradients and AdamW's two moments, in float32
    activations: int
    logits: int
    parameters: int
    trainable: int

    @property
    def total(self) -> int:
        """The sum, plus a tenth for allocator and libraries."""
        return int(1.1 * (self.base + self.adapter + self.activations + self.logits))


@dataclass(frozen=True)
class StepSize:
    """The size of one forward pass in training."""

    tokens: int
    answer_tokens: int  # those that need logits
    checkpointing: bool  # activations are recomputed


def estimate(
    config: Any,
    options: LoraOptions,
    step: StepSize,
    *,
    dtype: torch.dtype,
    quantization: str | None,
    trust_remote_code: bool = False,
) -> Estimate:
    """The memory of one training step at its peak.

    Args:
        config: transformers config; the model is built from it without weights.
        options: rank and targets of the adapter, or every weight.
        step: the size of a forward pass.
        dtype: of the weights that are not quantized.
        quantization: "nf4", "int8" or None.
        trust_remote_code: as for loading.
    """
    targets, full = options.lora_target_modules, options.full
    lowest = 0.0 if full else options.lora_from
    model = skeleton(config, trust_remote_code=trust_remote_code)
    head = model.get_output_embeddings()
    linears = {n: m for n, m in model.named_modules() if isinstance(m, LINEAR) and m is not head}
    lower = re.compile(lower_blocks(model, lowest) or "(?!)")
    upper = {name: module for name, module in linears.items() if not lower.fullmatch(name)}  # no gradient goes below
    quantized = sum(m.weight.numel() for m in linears.values())
    parameters = sum(p.numel() for p in model.parameters())
    width = {"nf4": NF4_BYTES, "int8": 1.0}.get(quantization or "", dtype.itemsize)
    base = quantized * width + (parameters - quantized) * dtype.itemsize
    if full:
        trainable = parameters
    else:
        adapted = [m for n, m in upper.items() if targets == ("all-linear",) or n.split(".")[-1] in targets]
        trainable = sum(options.lora_r * sum(m.weight.shape) for m in adapted)
    text = config.get_text_config()
    layers, hidden = text.num_hidden_layers - blocks_below(lowest, text.num_hidden_layers), text.hidden_size
    # Inputs of every linear, the residual stream, norms and attention outputs of one layer and token.
    widths = sum(m.weight.shape[1] if isinstance(m, torch.nn.Linear) else m.weight.shape[0] for m in upper.values())
    per_token = (2 * widths + 8 * layers * hidden) * max(2, dtype.itemsize)
    if step.checkpointing:
        per_token = layers * hidden * dtype.itemsize + per_token / layers
    return Estimate(
        base=int(base),
        adapter=trainable * (16 if not full else 12 + dtype.itemsize),
        activations=int(per_token * step.tokens),
        logits=3 * 4 * min(step.answer_tokens, 2048) * text.vocab_size,
        parameters=parameters,
        trainable=trainable,
    )


def skeleton(config: Any, *, trust_remote_code: bool) -> Any:
    """The model of a transformers config on the meta device, without weights.

    Raises:
        UnlearnError: transformers cannot build it.
    """
    subject, hint = f"a model of type {config.model_type}", "a causal language model is expected; is config.json right?"
    with boundary(subject, hint), bounded(BUILDING_BYTES, BUILDING_SECONDS), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)


def available(device: torch.device) -> int:
    """Bytes free on a device; of main memory for the CPU and for Apple's shared memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def release_memory() -> None:
    """Free memory that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak(device: torch.device) -> dict[str, int]:
    """Bytes at the peak of this process so far: resident, and on the device where it counts them."""
    if sys.platform == "win32":
        bytes_used = {"rss": psutil.Process().memory_info().peak_wset}
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        bytes_used = {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        bytes_used["device"] = torch.cuda.max_memory_allocated(device)
    return bytes_used
