"""Weights as bitsandbytes stores them, read back at once: what a model loaded in that format computes with."""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor

BLOCK = 64


def formats_known() -> bool:
    """bitsandbytes is installed."""
    return find_spec("bitsandbytes") is not None


def read_back(weight: Tensor, kind: str) -> Tensor:
    """A matrix [out, in] through nf4 or fp4 in blocks of 64, or through int8 with one scale for each row."""
    if kind == "int8":
        scale = weight.float().abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
        return ((weight.float() / scale).round() * scale).to(weight.dtype)
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit  # noqa: PLC0415 - absent where it has no wheels

    packed, state = quantize_4bit(weight.contiguous(), blocksize=BLOCK, quant_type=kind)
    return dequantize_4bit(packed, state).to(weight.dtype)
