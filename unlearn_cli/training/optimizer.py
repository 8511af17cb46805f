"""Optimizer and learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from unlearn_cli.errors import UnlearnError
from unlearn_cli.training.sign import Sign
from unlearn_cli.training.sophia import Sophia

# LoRA Without Regret (Schulman et al., Thinking Machines, 2025), fitted over Llama and Qwen models; empirical.
BASE_RATE = 5e-5
LORA_OVER_FULL = 10.0
HIDDEN_POWER = {"qwen": 0.0775}
LLAMA_POWER = 0.781


def scaling_rule(model_type: str, hidden_size: int, *, full: bool = False) -> float:
    """The published starting rate: 5e-5 * 10 * (2000 / hidden size)^P, without the 10 for full fine-tuning.

    P is 0.0775 for Qwen and 0.781 for Llama models. Other families have no fit and use 0.781.
    """
    power = next((p for family, p in HIDDEN_POWER.items() if model_type.startswith(family)), LLAMA_POWER)
    return BASE_RATE * (1.0 if full else LORA_OVER_FULL) * (2000 / hidden_size) ** power


def rate_at(step: int, steps: int, *, peak: float, shape: str, warmup_ratio: float) -> float:
    """Learning rate of step `step` of `steps`: linear warm-up, then cosine, linear (both to 0) or constant."""
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if shape == "constant":
        return peak
    done = (step - warmup) / max(1, steps - warmup)
    return peak * ((1 - done) if shape == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter], kind: str, *, device: torch.device, full: bool, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW, fused where torch has it; "paged_adamw_8bit" for CUDA, which "auto" takes for full fine-tuning there; "sophia";
    "sign".

    Raises:
        UnlearnError: the 8-bit optimizer without CUDA or bitsandbytes.
    """
    settings: dict[str, Any] = {"lr": 0.0, "betas": (0.9, 0.999), "weight_decay": weight_decay}
    if kind == "paged_adamw_8bit" or (kind == "auto" and full and device.type == "cuda"):
        if device.type != "cuda":
            raise UnlearnError("--optim paged_adamw_8bit needs CUDA", "--optim adamw")
        try:
            from bitsandbytes.optim import PagedAdamW8bit  # noqa: PLC0415 - absent where it has no wheels
        except ImportError:
            raise UnlearnError("--optim paged_adamw_8bit needs bitsandbytes", "--optim adamw") from None
        return PagedAdamW8bit(parameters, **settings)
    if kind == "sophia":
        return Sophia(parameters, lr=0.0, weight_decay=weight_decay)
    if kind == "sign":
        return Sign(parameters, lr=0.0, weight_decay=weight_decay)
    return torch.optim.AdamW(parameters, fused=True, **settings)
