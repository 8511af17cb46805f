"""Attention over packed rows without numbers, for `training/planned.py`; registered with transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

PLANNED = "unlearn_planned"


class Attention(torch.autograd.Function):
    """Attention over packed rows without numbers: it makes and keeps what `packed_rows` makes and keeps."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scores: int) -> Tensor:
        """[1, H, N, D] -> [1, N, H, D]. `scores`: elements of all rows' score matrices of one head that are kept, where
        there is no kernel for them."""
        rows, sums = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
        kept = [query.new_empty(query.shape[1], scores, dtype=torch.float32) for _ in range(3)] if scores else []
        ctx.save_for_backward(query, key, value, rows, sums, *kept)
        return torch.cat([rows], 2).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients as large as query, key and value."""
        return (*(torch.empty_like(x) for x in ctx.saved_tensors[:3]), None)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **kwargs: Any
) -> tuple[Tensor, None]:
    if not query.is_meta:
        raise NotImplementedError("this attention has no numbers; it is for the meta device alone")
    scores = int(attention_mask[0, 0, 0].diff().square().sum()) if kwargs.get("softcap") is not None else 0
    return Attention.apply(query, key, value, scores), None


AttentionInterface.register(PLANNED, _attention)
AttentionMaskInterface.register(PLANNED, sdpa_mask)
