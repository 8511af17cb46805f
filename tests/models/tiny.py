"""Random checkpoints of many architectures, small enough to run in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM

from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.models.load import LoadedModel

VOCABULARY = 64
STOP = 1
WINDOW = 4

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": STOP,
    "pad_token_id": 0,
}
_SHARED = {**_COMMON, "num_key_value_heads": 2}
_GEMMA = {**_SHARED, "head_dim": 8}


def _config(name: str, **settings: Any) -> Any:
    return getattr(transformers, name)(**settings)


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "llama": partial(_config, "LlamaConfig", **_COMMON),
    "llama-gqa": partial(_config, "LlamaConfig", **_SHARED),
    "qwen2": partial(_config, "Qwen2Config", **_SHARED),
    "qwen3": partial(_config, "Qwen3Config", **_SHARED, head_dim=8),
    "mistral": partial(_config, "MistralConfig", **_SHARED, sliding_window=WINDOW),
    "gemma": partial(_config, "GemmaConfig", **_GEMMA),
    "gemma2": partial(
        _config, "Gemma2Config", **_GEMMA, sliding_window=WINDOW, attn_logit_softcapping=2.0, final_logit_softcapping=3.0
    ),
    "gemma3": partial(_config, "Gemma3TextConfig", **_GEMMA, sliding_window=WINDOW),
    "phi": partial(_config, "PhiConfig", **_COMMON, resid_pdrop=0.0),
    "phi3": partial(_config, "Phi3Config", **_SHARED, sliding_window=WINDOW),
    "gpt-neox": partial(_config, "GPTNeoXConfig", **_COMMON),
    "gpt2": partial(
        _config, "GPT2Config", vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=STOP,
    ),
    "opt": partial(
        _config, "OPTConfig", vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=128, word_embed_proj_dim=32, dropout=0.0, attention_dropout=0.0,
        bos_token_id=0, eos_token_id=STOP, pad_token_id=0,
    ),
}  # fmt: skip


def make(name: str, attention: str | None = None) -> Any:
    """A random model of an architecture, equal from call to call; without `attention`, with transformers' own choice.

    Weights are large enough that attention matters.
    """
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name](), attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model.requires_grad_(False).eval()


def load(name: str) -> LoadedModel:
    """The same as the command line would have loaded it; no tokenizer and no source."""
    model = make(name)
    layout = choose_layout(model)
    return LoadedModel(model, None, layout, None, torch.device("cpu"), torch.float32, None, frozenset({STOP}))


def rows_of(lengths: tuple[int, ...], *, seed: int = 0, starts: tuple[int, ...] | None = None) -> list[Row]:
    """Random rows; the answer of row i begins at starts[i], or at half."""
    noise = np.random.default_rng(seed)
    starts = starts or tuple(max(1, n // 2) for n in lengths)
    return [
        Row(str(i), noise.integers(2, VOCABULARY, n), start, start, "", ends=False)
        for i, (n, start) in enumerate(zip(lengths, starts, strict=True))
    ]
