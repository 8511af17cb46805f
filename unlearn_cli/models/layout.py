"""Find by trial how a model can be run: packed without padding where that is exact, padded otherwise.

Not every architecture goes through transformers' attention interface, and a kernel may be absent or refuse a dtype. So
each way is tried on a few short rows and taken only if its logits equal those of the rows run one by one.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.batch import Batch, pack, pack_shared
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.forward import Layout, answer_hidden, answer_logits, project
from unlearn_cli.models.packing import ROWS, VARLEN, varlen_attn

LENGTHS = (7, 3, 12)
log = logging.getLogger(__name__)


def _probe_batch(vocabulary: int, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(0)
    rows = [Row(str(n), torch.randint(vocabulary, (n,), generator=generator).numpy(), 1, 1, "", ends=False) for n in LENGTHS]
    return pack({"probe": rows}).to(device)


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
def choose_layout(model: Any, *, pack: bool = True) -> Layout:
    """The fastest exact layout for `model`; sets the model's attention function to match.

    Args:
        model: a causal language model.
        pack: packing may be tried; not where the user asked for an attention function by name.

    Raises:
        UnlearnError: no layout gives the logits of single rows.
    """
    causal = causal_lm(model)
    config = causal.config.get_text_config()
    batch = _probe_batch(config.vocab_size, causal.device)
    plain = config._attn_implementation
    # One kernel rounds unlike another; what matters is that no row sees another, which is a gross error.
    tolerance = 1e-4 if causal.dtype == torch.float32 else 3e-2
    if getattr(causal, "is_loaded_in_8bit", False):
        tolerance = 0.3  # LLM.int8() rounds by the outliers of the whole batch, so that rows do depend on it a little
    training = causal.training
    causal.eval()
    causal.set_attn_implementation("eager")
    lone = [
        causal(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
        for ids in batch.input_ids.split(batch.row_offsets.diff().tolist())
    ]
    expected = torch.cat(lone)

    candidates = []
    if pack:
        half = causal.dtype in (torch.bfloat16, torch.float16)
        if causal.device.type == "cuda" and half and varlen_attn is not None:
            candidates.append(Layout(True, VARLEN, own_head=False))
        candidates.append(Layout(True, ROWS, own_head=False))
        reason = "packing is not exact on this architecture"
    else:
        reason = f"'{plain}' attention cannot be packed"
    candidates += [Layout(False, way, own_head=False, note=f"rows are padded: {reason}") for way in (plain, "eager")]
    chosen = next((c for c in candidates if _exact(causal, batch, c, expected, tolerance)), None)
    if chosen is None:
        raise UnlearnError(
            f"{type(causal).__name__} gives other logits in a batch than for a single row, with every attention tried",
            "this architecture is not supported; please report it with the output of `unlearn env`",
            EXIT_FAILED,
        )
    own_head = _head_is_exact(causal, batch, chosen, expected, tolerance)
    shares = chosen.packed and _sharing_is_exact(causal, config.vocab_size, chosen, tolerance)
    causal.train(training)
    return Layout(chosen.packed, chosen.attention, own_head, chosen.note, shares)


def _sharing_is_exact(causal: Any, vocabulary: int, layout: Layout, tolerance: float) -> bool:
    """Whether answers behind one copy of their question have the logits that they have behind a copy of their own."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(vocabulary, (20,), generator=generator).numpy()
    answers = [Row(str(n), np.concatenate([ids[:8], ids[8 : 8 + n]]), 8, 8, "", ends=False) for n in (3, 5)]
    answers[1].input_ids[8:] = ids[13:18]
    try:
        together = answer_logits(causal, pack_shared([answers, answers[:1]]).to(causal.device), layout)
        alone = answer_logits(causal, pack({"rows": [*answers, answers[0]]}).to(causal.device), layout)
        return _relative(together, alone) < tolerance
    except Exception as error:  # noqa: BLE001 - each answer then gets a copy of its question
        log.debug("sharing refused: %s", error)
        return False


def _exact(causal: Any, batch: Batch, layout: Layout, expected: Tensor, tolerance: float) -> bool:
    try:
        causal.set_attn_implementation(layout.attention)
        return _relative(answer_logits(causal, batch, layout), expected) < tolerance
    except Exception as error:  # noqa: BLE001 - any refusal of a kernel or a model means: take the next way
        log.debug("layout %s refused: %s", layout, error)
        return False


def _head_is_exact(causal: Any, batch: Batch, layout: Layout, expected: Tensor, tolerance: float) -> bool:
    try:
        logits = project(causal, answer_hidden(causal, batch, layout)).float()
        return _relative(logits, expected) < tolerance
    except Exception as error:  # noqa: BLE001 - the model's own forward is then used throughout
        log.debug("own head refused: %s", error)
        return False
