"""Find by trial how a model can be run: packed without padding if that is exact, padded otherwise.

Not every architecture uses transformers' attention interface, and a kernel may be absent or refuse a dtype. So each
layout is tried on a few short rows. It is chosen only if its logits equal those of the rows run one by one. Generation
with a cache is tried in the same way. A model whose predictions depend on later tokens is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.batch import Batch, pack, pack_shared
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.cached_steps import CachedSteps
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.forward import Layout, answer_hidden, answer_logits, project
from unlearn_cli.models.packing import ROWS, VARLEN, varlen_attn

LENGTHS = (7, 3, 12)
CACHED = 2  # steps of generation that are tried
# Packed attention supports these kinds. The mask of another kind may differ only in rows longer than those of the trial.
PACKABLE = {"full_attention", "sliding_attention"}
log = logging.getLogger(__name__)


def probe_batch(vocabulary: int, device: torch.device) -> Batch:
    """Short random rows in the group "probe"; they are the same at each call."""
    generator = torch.Generator().manual_seed(0)
    rows = [Row(str(n), torch.randint(vocabulary, (n,), generator=generator).numpy(), 1, 1, "", ends=False) for n in LENGTHS]
    return pack({"probe": rows}).to(device)


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
def choose_layout(model: Any, device: torch.device | None = None, *, pack: bool = True) -> Layout:
    """Choose the fastest exact layout for `model`, and set the model's attention function accordingly.

    Args:
        model: a causal language model.
        device: of its inputs; None: where all its weights are.
        pack: try packing. False if the user named an attention function.

    Raises:
        UnlearnError: the model does not run, is not causal, or no layout gives the logits of single rows.
    """
    causal = causal_lm(model)
    config = causal.config.get_text_config()
    batch = probe_batch(config.vocab_size, device or causal.device)
    plain = config._attn_implementation
    # Kernels round differently. The trial looks for a row that attends to another row, which is a far larger error.
    tolerance = 1e-4 if causal.dtype == torch.float32 else 3e-2
    if getattr(causal, "is_loaded_in_8bit", False):
        tolerance = (
            0.3  # LLM.int8() finds outliers over the whole batch, so a row's logits depend a little on the other rows
        )
    training = causal.training
    causal.eval()
    rows = batch.input_ids.split(batch.row_offsets.diff().tolist())
    with boundary(type(causal).__name__, "the model does not run on this device: --dtype float32 and --device cpu may help"):
        causal.set_attn_implementation("eager")
        lone = [causal(input_ids=ids[None], use_cache=False).logits[0].float() for ids in rows]
        changed = torch.cat([rows[-1][:6], rows[-1][6:].flip(0)])
        earlier = causal(input_ids=changed[None], use_cache=False).logits[0, :6].float()
    if not all(logits.isfinite().all() for logits in lone):
        raise UnlearnError(f"{type(causal).__name__} gives logits that are not finite in {causal.dtype}", "--dtype float32")
    if _relative(earlier, lone[-1][:6]) >= tolerance:
        raise UnlearnError(
            f"{type(causal).__name__} is not causal: a later token changes what it predicts before it",
            "a causal language model is expected: it predicts each token from the tokens before it",
        )
    expected = torch.cat([logits[:-1] for logits in lone])
    chosen = _first_exact(causal, batch, plain, expected, tolerance, pack=pack)
    own_head = _head_is_exact(causal, batch, chosen, expected, tolerance)
    shares = chosen.packed and _sharing_is_exact(causal, batch.input_ids.device, chosen, tolerance)
    caches = _cache_is_exact(causal, rows, lone, tolerance)
    causal.train(training)
    return replace(chosen, own_head=own_head, shares=shares, caches=caches)


def _first_exact(causal: Any, batch: Batch, plain: str, expected: Tensor, tolerance: float, *, pack: bool) -> Layout:
    candidates = []
    kinds = set(getattr(causal.config.get_text_config(), "layer_types", None) or ())
    if not pack:
        reason = f"'{plain}' attention cannot be packed"
    elif kinds - PACKABLE:
        reason = f"packing knows no {', '.join(sorted(kinds - PACKABLE))}"
    else:
        half = causal.dtype in (torch.bfloat16, torch.float16)
        if batch.input_ids.device.type == "cuda" and half and varlen_attn is not None:
            candidates.append(Layout(True, VARLEN, own_head=False))
        candidates.append(Layout(True, ROWS, own_head=False))
        reason = "packing is not exact on this architecture"
    candidates += [Layout(False, way, own_head=False, note=f"rows are padded: {reason}") for way in (plain, "eager")]
    chosen = next((c for c in candidates if _exact(causal, batch, c, expected, tolerance)), None)
    if chosen is None:
        raise UnlearnError(
            f"{type(causal).__name__} gives other logits in a batch than for a single row, with every attention tried",
            "choose a model of another architecture; this one cannot be measured in batches",
        )
    return chosen


def _cache_is_exact(causal: Any, rows: Sequence[Tensor], lone: Sequence[Tensor], tolerance: float) -> bool:
    """Whether generation with a cache gives the logits of whole rows, with padding and after a row has left the batch."""
    prompts = [ids[:-CACHED] for ids in rows]
    try:
        steps = CachedSteps(causal, [prompt.cpu().numpy() for prompt in prompts], rows[0].device)
        alive = list(range(len(rows)))
        for step in range(CACHED + 1):
            logits = steps.logits().float()
            expected = torch.stack([lone[row][len(prompts[row]) - 1 + step] for row in alive])
            if not _relative(logits, expected) < tolerance:
                return False
            if step < CACHED:
                tokens = torch.stack([rows[row][len(prompts[row]) + step] for row in alive])
                keep = [0, len(alive) - 1] if step == 0 else list(range(len(alive)))
                steps.append(tokens, keep)
                alive = [alive[row] for row in keep]
    except Exception as error:
        log.debug("cache refused: %s", error)
        return False
    return True


def _sharing_is_exact(causal: Any, device: torch.device, layout: Layout, tolerance: float) -> bool:
    """Whether answers that share one copy of their question get the logits that they get with a copy each."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(causal.config.get_text_config().vocab_size, (20,), generator=generator).numpy()
    answers = [Row(str(n), np.concatenate([ids[:8], ids[8 : 8 + n]]), 8, 8, "", ends=False) for n in (3, 5)]
    answers[1].input_ids[8:] = ids[13:18]
    try:
        together = answer_logits(causal, pack_shared([answers, answers[:1]]).to(device), layout)
        alone = answer_logits(causal, pack({"rows": [*answers, answers[0]]}).to(device), layout)
        return _relative(together, alone) < tolerance
    except Exception as error:
        log.debug("sharing refused: %s", error)
        return False


def _exact(causal: Any, batch: Batch, layout: Layout, expected: Tensor, tolerance: float) -> bool:
    try:
        causal.set_attn_implementation(layout.attention)
        return _relative(answer_logits(causal, batch, layout), expected) < tolerance
    except Exception as error:
        log.debug("layout %s refused: %s", layout, error)
        return False


def _head_is_exact(causal: Any, batch: Batch, layout: Layout, expected: Tensor, tolerance: float) -> bool:
    try:
        logits = project(causal, answer_hidden(causal, batch, layout)).float().to(expected.device)
        return _relative(logits, expected) < tolerance
    except Exception as error:
        log.debug("own head refused: %s", error)
        return False
