"""From a packed batch to log-probabilities of answer tokens: the only file that shifts and masks.

The vocabulary projection runs at answer positions alone. The position before a token predicts it, so the logits of the
answer token at index i are those of index i - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from unlearn_cli.data.batch import Batch
from unlearn_cli.models.packing import as_mask
from unlearn_cli.outputs import Outputs

# Below about two thousand answer tokens one projection is faster; above, its fp32 logits cost gigabytes.
CHUNK = 2048


@dataclass(frozen=True)
class Layout:
    """How a model is run; established by trial when it is loaded (`models/layout.py`)."""

    packed: bool  # rows end to end; otherwise padded to the longest
    attention: str  # name of the attention function
    own_head: bool  # the head applied to the backbone's output equals the model's own logits
    note: str | None = None  # why something slower was chosen


def causal_lm(model: Any) -> Any:
    """The transformers model inside a PeftModel, with the adapter's layers in place."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def project(model: Any, hidden: Tensor) -> Tensor:
    """Logits [n, V] of hidden states [n, H], as the model's own forward makes them."""
    causal = causal_lm(model)
    logits = causal.get_output_embeddings()(hidden)
    cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


def _answer_positions(batch: Batch) -> Tensor:
    return batch.answer_mask.nonzero().squeeze(-1)


def _padded_inputs(batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    lengths = batch.row_offsets.diff().tolist()
    ids = pad_sequence(batch.input_ids.split(lengths), batch_first=True)
    mask = pad_sequence([torch.ones_like(x) for x in batch.input_ids.split(lengths)], batch_first=True)
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(ids.device)
    return {"input_ids": ids, "attention_mask": mask}, rows, batch.position_ids


def _run(module: Any, batch: Batch, layout: Layout, **arguments: Any) -> tuple[Any, Callable[[Tensor, Tensor], Tensor]]:
    """Run `module` on a batch; returns its outputs and how to pick packed positions out of [1, N, *] or [B, L, *]."""
    if layout.packed:
        inputs = {"input_ids": batch.input_ids[None], "position_ids": batch.position_ids[None]}
        made = module(**inputs, attention_mask=as_mask(batch.row_offsets), use_cache=False, **arguments)
        return made, lambda tensor, at: tensor[0, at]
    inputs, rows, columns = _padded_inputs(batch)
    return module(**inputs, use_cache=False, **arguments), lambda tensor, at: tensor[rows[at], columns[at]]


def answer_hidden(model: Any, batch: Batch, layout: Layout) -> Tensor:
    """Hidden states [n, H] that predict the batch's n answer tokens, in row order."""
    causal = causal_lm(model)
    made, pick = _run(causal.base_model, batch, layout)
    return pick(made.last_hidden_state, _answer_positions(batch) - 1)


def answer_logits(model: Any, batch: Batch, layout: Layout) -> Tensor:
    """Logits [n, V] in float32 of the batch's n answer tokens, in row order."""
    at = _answer_positions(batch) - 1
    if layout.packed:
        return _run(model, batch, layout, logits_to_keep=at)[0].logits[0].float()
    made, pick = _run(model, batch, layout)
    return pick(made.logits, at).float()


def logit_chunks(model: Any, batch: Batch, layout: Layout, size: int) -> Iterator[Tensor]:
    """The logits of the batch's answer tokens in float32, at most `size` tokens at a time; for passes without gradient."""
    if not layout.own_head:
        yield from answer_logits(model, batch, layout).split(size)
        return
    for hidden in answer_hidden(model, batch, layout).split(size):
        yield project(model, hidden).float()


def _token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(logits, targets, reduction="none")


def _projected_logps(model: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    return _token_logps(project(model, hidden).float(), targets)


def forward(
    model: Any,
    batch: Batch,
    layout: Layout,
    *,
    logits: frozenset[str] = frozenset(),
    hidden: frozenset[str] = frozenset(),
) -> dict[str, Outputs]:
    """One forward pass: a batch's groups to their Outputs.

    Args:
        model: a causal language model, on the batch's device.
        batch: N tokens of B rows.
        layout: how the model is run.
        logits: names of the groups whose Outputs carry logits.
        hidden: names of the groups whose Outputs carry the last hidden states.
    """
    targets = batch.input_ids[batch.answer_mask]
    states = flat_logits = None
    if hidden or (not logits and len(targets) > CHUNK and layout.own_head):
        states = answer_hidden(model, batch, layout)
        if logits:
            flat_logits = project(model, states).float()
    else:
        flat_logits = answer_logits(model, batch, layout)
    if flat_logits is not None:
        logps = _token_logps(flat_logits, targets)
    else:
        chunks = zip(states.split(CHUNK), targets.split(CHUNK), strict=True)
        logps = torch.cat([checkpoint(_projected_logps, model, h, t, use_reentrant=False) for h, t in chunks])

    lengths = _answer_lengths(batch)
    made, first = {}, 0
    for name, (start, stop) in batch.groups.items():
        counts = lengths[start:stop]
        part = slice(first, first + sum(counts))
        made[name] = gather(
            logps[part],
            targets[part],
            counts,
            logits=flat_logits[part] if name in logits else None,
            hidden=states[part] if name in hidden else None,
        )
        first = part.stop
    return made


def _answer_lengths(batch: Batch) -> list[int]:
    totals = F.pad(batch.answer_mask.cumsum(0), (1, 0))
    return totals[batch.row_offsets.to(totals.device)].diff().tolist()


def gather(
    logps: Tensor, targets: Tensor, counts: list[int], *, logits: Tensor | None = None, hidden: Tensor | None = None
) -> Outputs:
    """Flat values of answer tokens [n, ...] and answer lengths to Outputs [B, T, ...], 0 past each row's end."""

    def rows(flat: Tensor | None) -> Tensor | None:
        return None if flat is None else pad_sequence(flat.split(counts), batch_first=True)

    mask = rows(torch.ones_like(targets, dtype=torch.bool))
    return Outputs(rows(logps), rows(targets), mask, rows(logits), rows(hidden))
