"""Memory: an estimate of what a run needs, made without weights; and the peak that it used."""

from __future__ import annotations

import ctypes
import gc
import math
import re
import sys
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from unlearn_cli.config import LoraOptions
from unlearn_cli.contract import Sizes
from unlearn_cli.limits import GIB, bounded
from unlearn_cli.models import main_memory
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.depth import lower_blocks, mlp_matrices

if sys.platform != "win32":
    import resource

BUILDING_BYTES, BUILDING_SECONDS = 4 * GIB, 120.0  # that modules without weights may take, however many a config wants
NF4_BYTES = 0.5 + 0.127 / 8  # half a byte, and doubly quantized scales of 0.127 bit a weight
LINEAR = (torch.nn.Linear, Conv1D)
ROOM = 1.05  # for what the allocator cannot use, and what kernels need within themselves
# On a CPU the C library gives freed memory back late: three runs grew by 1.5 to 2.4 times what their tensors took.
CPU_ROOM = 1.8
# mallopt's number of the threshold from which on glibc takes a block from the system, and the bytes that are set.
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 2 * 2**20


@dataclass(frozen=True)
class Estimate:
    """Bytes at the peak of a run, by purpose. Arithmetic, not a measurement."""

    process: int  # that this process holds before the model is loaded, by measurement; 0 on a device with its own memory
    base: int  # the weights
    adapter: int  # what is trained: weights, gradients, two moments in float32, and the best state where there is a target
    copies: int  # what a procedure or a robust rule keeps beside: copies of weights, gradients, moments
    step: int  # one pass forward and backward: activations, logits, and what the loss makes of them
    measuring: int  # passes that measure, before and after training
    parameters: int
    trainable: int
    room: float = ROOM  # factor on what training and measuring take

    @property
    def training(self) -> int:
        """What training takes beside the model."""
        return int(self.room * (self.adapter + self.copies + self.step))

    @property
    def total(self) -> int:
        """The sum: training and measuring follow each other, so that the larger of them counts."""
        return self.process + self.more

    @property
    def more(self) -> int:
        """What the run takes beside what the process holds already."""
        return self.base + max(self.training, int(self.room * self.measuring))


@dataclass(frozen=True)
class Weights:
    """The weights of a model."""

    parameters: int
    trainable: int
    bytes: int  # of all, as they are loaded
    read: int  # features that all linear layers read
    largest: int  # bytes of the largest matrix that is quantized, once it is not; 0: none is


def weights(model: Any, options: LoraOptions, dtype: torch.dtype, quantization: str | None) -> Weights:
    """Count weights.

    Args:
        model: without an adapter; it needs no numbers.
        options: rank and targets of the adapter, or every weight.
        dtype: of the weights that are not quantized.
        quantization: "nf4", "int8" or None.
    """
    head = model.get_output_embeddings()
    linears = {n: m for n, m in model.named_modules() if isinstance(m, LINEAR) and m is not head}
    quantized = {n: m.weight.numel() for n, m in linears.items()}
    parameters = sum(p.numel() for p in model.parameters())
    width = {"nf4": NF4_BYTES, "int8": 1.0}.get(quantization or "", dtype.itemsize)
    inside = sum(quantized.values())
    targets = options.lora_target_modules
    lower = re.compile(lower_blocks(model, options.lora_from) or "(?!)")
    upper = {name: module for name, module in linears.items() if not lower.fullmatch(name)}
    adapted = [m for n, m in upper.items() if targets == ("all-linear",) or n.split(".")[-1] in targets]
    return Weights(
        parameters,
        parameters if options.full else sum(options.lora_r * sum(m.weight.shape) for m in adapted),
        int(inside * width + (parameters - inside) * dtype.itemsize),
        sum(m.weight.shape[1] if isinstance(m, torch.nn.Linear) else m.weight.shape[0] for m in linears.values()),
        max(quantized.values(), default=0) * dtype.itemsize if quantization else 0,
    )


def resident(device: torch.device) -> int:
    """Bytes that this process holds already, where it shares its memory with the model; 0 on a device with its own."""
    return 0 if device.type == "cuda" else psutil.Process().memory_info().rss


def sizes(model: Any, trainable: int, forget_tokens: int) -> Sizes:
    """What a procedure counts its memory in. Procedures that edit matrices do so in float32.

    Args:
        model: the model without an adapter; it needs no weights.
        trainable: weights of the adapter.
        forget_tokens: tokens of all forget rows.
    """
    width, matrices = torch.float32.itemsize, [p.shape for p in mlp_matrices(model).values()]
    return Sizes(
        whole=width * sum(p.numel() for p in model.parameters()),
        mlps=width * sum(map(math.prod, matrices)),
        adapter=width * trainable,
        read=max((max(shape) for shape in matrices), default=0),
        recorded=width * forget_tokens * sum(map(sum, matrices)),
    )


def skeleton(config: Any, *, trust_remote_code: bool) -> Any:
    """The model of a transformers config on the meta device, without weights.

    Raises:
        UnlearnError: transformers cannot build it.
    """
    subject, hint = f"a model of type {config.model_type}", "a causal language model is expected; is config.json right?"
    with boundary(subject, hint), bounded(BUILDING_BYTES, BUILDING_SECONDS), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)


def available(device: torch.device, *, spread: bool = False) -> int:
    """Bytes free on a device, or with `spread` on all of its kind; of main memory for the CPU and Apple's shared memory.

    On a GPU the blocks count that torch keeps and no tensor uses: the driver calls them used.
    """
    if device.type == "cuda":
        devices = [torch.device("cuda", n) for n in range(torch.cuda.device_count())] if spread else [device]
        kept = sum(torch.cuda.memory_reserved(one) - torch.cuda.memory_allocated(one) for one in devices)
        return kept + sum(torch.cuda.mem_get_info(one)[0] for one in devices)
    return main_memory.free()


def release_memory() -> None:
    """Free memory that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def give_freed_back() -> None:
    """Let the C library of Linux give large freed blocks back at once, for the rest of this process.

    By itself it keeps them, in pieces that the next tensors often do not fit into: the process grows to twice of what its
    tensors take. Each block then comes from the system again, which costs time. Other C libraries do without.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


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
