"""One base in memory for many runs: which loads it serves."""

from __future__ import annotations

import torch

from tests.cli.running import MODEL
from unlearn_cli.config import ModelOptions
from unlearn_cli.models.model_cache import ModelCache


def test_a_cached_model_serves_only_loads_with_the_same_options() -> None:
    cache, usual = ModelCache(), ModelOptions(model=MODEL, device="cpu")
    first, again = cache.load(usual), cache.load(usual)
    assert again.model is first.model and cache.loads == 1
    half = cache.load(usual.model_copy(update={"dtype": "bfloat16"}))
    assert (half.dtype, cache.loads) == (torch.bfloat16, 2)
