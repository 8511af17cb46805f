"""Attention over rows packed end to end, registered with transformers so that every architecture gets it.

The row offsets travel as a four-dimensional `attention_mask`, which transformers hands to each layer unchanged; an
integer mask therefore means "packed rows", and anything else goes to the library's own SDPA function, so that padded
batches and generation with a cache work on the same model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

try:  # a CUDA kernel of torch >= 2.10; bf16 and fp16 only
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    varlen_attn = None  # type: ignore[assignment]  # a function's name cannot be declared optional

ROWS = "unlearn_packed_rows"  # per-row SDPA: any device, any dtype
VARLEN = "unlearn_packed_varlen"  # one variable-length kernel launch


def as_mask(row_offsets: Tensor, parents: Tensor | None = None) -> Tensor:
    """Row offsets [B + 1] in the form of an attention mask, which the model passes to each layer: int32 [1, 1, 1, B + 1].

    With `parents` [B], the numbers of the rows from which they continue, -1 for none: int32 [1, 1, 2, B + 1].
    """
    offsets = row_offsets.to(torch.int32)[None]
    if parents is not None:
        offsets = torch.cat([offsets, F.pad(parents.to(torch.int32)[None], (0, 1))])
    return offsets[None, None]


def _shares_beginnings(attention_mask: Tensor) -> bool:
    return attention_mask.shape[2] == 2


def _is_packed(attention_mask: Tensor) -> bool:
    return attention_mask.dtype == torch.int32


def _softcapped(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, scale: float, softcap: float) -> Tensor:
    """Attention with capped scores (Gemma 2), which SDPA does not offer. `seen` is True where a key may be seen."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = softcap * torch.tanh(query @ key.transpose(2, 3) * scale / softcap)
    # Not -inf: a padding token that sees nothing would become NaN, and 0 * NaN spoils the rows that do not see it.
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1, dtype=torch.float32).to(value.dtype) @ value


def _causal(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """[queries, keys] True where a key may be seen; the queries are the last of the keys."""
    distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)[None, :]
    return (distance >= 0) & (distance < (window or keys))


def _one_row(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, softcap: float | None) -> Tensor:
    """Causal attention of one row, [1, H, L, D] -> [1, H, L, D]; keys and values may hold tokens before it as well."""
    length, keys, grouped = query.shape[2], key.shape[2], key.shape[1] != query.shape[1]
    if softcap is None and length == keys and (window is None or length <= window):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)
    seen = _causal(length, keys, window, query.device)
    if softcap is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale, enable_gqa=grouped)
    return _softcapped(query, key, value, seen, scale, softcap)


def _not_packed(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, kwargs: Mapping[str, Any]
) -> tuple[Tensor, None]:
    """Attention for padded batches and for generation with a cache."""
    softcap = kwargs.get("softcap")
    if softcap is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    if attention_mask is None:
        attention_mask = _causal(query.shape[2], key.shape[2], kwargs.get("sliding_window"), query.device)
    weighted = _softcapped(query, key, value, attention_mask, _scale(query, kwargs), softcap)
    return weighted.transpose(1, 2).contiguous(), None


def _scale(query: Tensor, kwargs: Mapping[str, Any]) -> float:
    scaling = kwargs.get("scaling")
    return scaling if scaling is not None else query.shape[-1] ** -0.5


def _check_supported(module: Any, kwargs: Mapping[str, Any]) -> None:
    unsupported = [name for name in ("s_aux", "position_bias") if kwargs.get(name) is not None]
    if kwargs.get("dropout") and module.training:
        unsupported.append("attention dropout")
    if not getattr(module, "is_causal", True):
        unsupported.append("attention that is not causal")
    if unsupported:
        raise NotImplementedError(f"packed rows do not support {', '.join(unsupported)}")


def packed_rows(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal SDPA on each row's slice of one packed sequence. Shapes [1, H, N, D] -> [1, N, H, D]."""
    if attention_mask is None or not _is_packed(attention_mask):
        return _not_packed(module, query, key, value, attention_mask, kwargs)
    _check_supported(module, kwargs)
    lengths = attention_mask[0, 0, 0].diff().tolist()
    queries, keys, values = query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2)
    if _shares_beginnings(attention_mask):
        parents = attention_mask[0, 0, 1, :-1].tolist()
        keys, values = _behind_parents(keys, parents), _behind_parents(values, parents)
    settings = _scale(query, kwargs), kwargs.get("sliding_window"), kwargs.get("softcap")
    rows = [_one_row(q, k, v, *settings) for q, k, v in zip(queries, keys, values, strict=True)]
    return torch.cat(rows, dim=2).transpose(1, 2).contiguous(), None


def _behind_parents(rows: Sequence[Tensor], parents: Sequence[int]) -> list[Tensor]:
    """Each row's keys or values behind those of the row that it continues from."""
    whole: list[Tensor] = []
    for row, parent in zip(rows, parents, strict=True):
        whole.append(row if parent < 0 else torch.cat([whole[parent], row], 2))
    return whole


def packed_varlen(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """The same through torch's variable-length kernel, which knows no softcap and no shared beginnings."""
    if (
        attention_mask is None
        or not _is_packed(attention_mask)
        or _shares_beginnings(attention_mask)
        or kwargs.get("softcap") is not None
    ):
        return packed_rows(module, query, key, value, attention_mask, **kwargs)
    _check_supported(module, kwargs)
    window = kwargs.get("sliding_window")
    offsets = attention_mask.flatten()
    longest = int(offsets.diff().max())
    offsets = offsets.to(query.device, non_blocking=True)
    q, k, v = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
    out = varlen_attn(
        q, k, v, offsets, offsets, longest, longest,
        scale=_scale(query, kwargs), window_size=(window - 1 if window else -1, 0), enable_gqa=k.shape[1] != q.shape[1],
    )  # fmt: skip
    assert isinstance(out, Tensor)  # it returns more only where more is asked for
    return out[None], None


for _name, _function in ((ROWS, packed_rows), (VARLEN, packed_varlen)):
    AttentionInterface.register(_name, _function)
    AttentionMaskInterface.register(_name, sdpa_mask)
