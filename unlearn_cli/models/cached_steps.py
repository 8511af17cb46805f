"""Steps of generation with a key-value cache; `models/layout.py` tries whether they are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from unlearn_cli.models.depth import causal_lm


def new_cache(model: Any) -> Any:
    """An empty key-value cache; a composed model brings its own kind."""
    new = getattr(model, "new_cache", None)
    return new() if new else DynamicCache(config=causal_lm(model).config)


def _left_padded(prompts: Sequence[np.ndarray], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


class CachedSteps:
    """Step-by-step generation with a key-value cache: logits of each row's next token."""

    def __init__(self, model: Any, prompts: Sequence[np.ndarray], device: torch.device) -> None:
        self.model, self.cache = model, new_cache(model)
        self.ids, self.mask = _left_padded(prompts, device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp_min(0)

    def logits(self) -> torch.Tensor:
        """[B, V] for the rows that are left."""
        return self.model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.positions, past_key_values=self.cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip

    def append(self, tokens: torch.Tensor, keep: list[int]) -> None:
        """Go on with `tokens` [B]; only the rows at `keep` are left."""
        if len(keep) < len(tokens):
            index = torch.tensor(keep)  # on the CPU: a spread model's cache is on several devices
            self.cache.batch_select_indices(index)
            tokens, self.mask, self.positions = tokens[index], self.mask[index], self.positions[index]
        self.ids = tokens[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=-1)
        self.positions = self.positions[:, -1:] + 1
