"""Compute log-probabilities of the answer tokens of a packed batch. Only this file shifts and masks.

The vocabulary projection runs at answer positions alone. The position before a token predicts it, so the logits of the
answer token at index i are those of index i - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from unlearn_cli.data.batch import Batch
from unlearn_cli.models.depth import causal_lm, tapped
from unlearn_cli.models.packing import ROWS, as_mask
from unlearn_cli.outputs import ABSENT, Outputs

# Below about two thousand answer tokens one projection is faster; above, its fp32 logits cost gigabytes.
CHUNK = 2048


@dataclass(frozen=True)
class Layout:
    """How a model is run; found by trial when it is loaded (`models/layout.py`)."""

    packed: bool  # rows end to end; otherwise padded to the longest
    attention: str  # name of the attention function
    own_head: bool  # the head applied to the backbone's output equals the model's own logits
    note: str | None = None  # why rows are padded
    shares: bool = False  # rows may go on from one copy of what they begin with
    caches: bool = True  # a step of generation with a cache has the logits of the whole row

    @property
    def shares_in_steps(self) -> bool:
        """Whether the rows of a step share one copy of the template's tokens, and the answers to a question one of it.

        One launch of the variable-length kernel for all rows is faster than a launch for each, and knows no shared tokens.
        """
        return self.shares and self.attention == ROWS

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on slower ways that had to be chosen."""
        slow = (
            ""
            if self.caches
            else "answers are generated without a cache, which is slow: it is not exact on this architecture"
        )
        return tuple(text for text in (self.note, slow) if text)


def head_of(model: Any) -> Callable[[Tensor], Tensor]:
    """The vocabulary head: a function from hidden states [n, H] to logits [n, V], equal to those of the model's forward."""
    causal = causal_lm(model)
    head = causal.get_output_embeddings()
    cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)
    return lambda hidden: torch.tanh(head(hidden) / cap) * cap if cap else head(hidden)


def project(model: Any, hidden: Tensor) -> Tensor:
    """Logits [n, V] of hidden states [n, H]."""
    return head_of(model)(hidden)


def _answer_positions(batch: Batch) -> Tensor:
    return batch.answer_mask.nonzero().squeeze(-1)


def _padded_inputs(batch: Batch) -> dict[str, Tensor]:
    lengths = batch.row_offsets.diff().tolist()
    ids = pad_sequence(batch.input_ids.split(lengths), batch_first=True)
    mask = pad_sequence([torch.ones_like(x) for x in batch.input_ids.split(lengths)], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask}


def _run(module: Any, batch: Batch, layout: Layout, **arguments: Any) -> Any:
    """Run `module` on a batch."""
    if not layout.packed:
        return module(**_padded_inputs(batch), use_cache=False, **arguments)
    inputs = {"input_ids": batch.input_ids[None], "position_ids": batch.position_ids[None]}
    return module(**inputs, attention_mask=as_mask(batch.row_offsets, batch.parents), use_cache=False, **arguments)


def _picker(batch: Batch, layout: Layout) -> Callable[[Tensor, Tensor], Tensor]:
    """A function that takes packed positions from a model's output, which is [1, N, *] or [B, L, *].

    The output stays on its device: where a model is spread over several, that is not the batch's.
    """
    if layout.packed:
        return lambda tensor, at: tensor[0, at.to(tensor.device)]
    lengths = batch.row_offsets.diff()
    rows = torch.repeat_interleave(torch.arange(len(lengths)), lengths.long()).to(batch.input_ids.device)
    return lambda tensor, at: tensor[rows[at].to(tensor.device), batch.position_ids[at].to(tensor.device)]


def answer_hidden(model: Any, batch: Batch, layout: Layout) -> Tensor:
    """Hidden states [n, H] that predict the batch's n answer tokens, in row order."""
    causal = causal_lm(model)
    states = _run(causal.base_model, batch, layout).last_hidden_state
    return _picker(batch, layout)(states, _answer_positions(batch) - 1)


def answer_logits(model: Any, batch: Batch, layout: Layout) -> Tensor:
    """Logits [n, V] in float32 of the batch's n answer tokens, in row order."""
    at = _answer_positions(batch) - 1
    if layout.packed:
        return _run(model, batch, layout, logits_to_keep=at).logits[0].float()
    return _picker(batch, layout)(_run(model, batch, layout).logits, at).float()


def logit_chunks(model: Any, batch: Batch, layout: Layout, size: int) -> Iterator[Tensor]:
    """The logits of the batch's answer tokens in float32, at most `size` tokens at a time; for passes without gradient."""
    if not layout.own_head:
        yield from answer_logits(model, batch, layout).split(size)
        return
    for hidden in answer_hidden(model, batch, layout).split(size):
        yield project(model, hidden).float().to(batch.input_ids.device)


def _token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(logits.to(targets.device), targets, reduction="none")


def _projected_logps(model: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    return _token_logps(project(model, hidden).float(), targets)


class HiddenStates(NamedTuple):
    """Which hidden states a forward pass puts into its Outputs."""

    blocks: Mapping[str, tuple[int, ...]]  # for each group that carries some, after which blocks; 1 is the first
    mlp: frozenset[str] = frozenset()  # groups that carry what the blocks' MLPs write instead of the residual stream


def forward(
    model: Any,
    batch: Batch,
    layout: Layout,
    *,
    logits: frozenset[str] = frozenset(),
    states: HiddenStates | None = None,
    head: bool = True,
) -> dict[str, Outputs]:
    """One forward pass: a batch's groups to their Outputs.

    Args:
        model: a causal language model, on the batch's device.
        batch: N tokens of B rows.
        layout: how the model is run.
        logits: names of the groups whose Outputs carry logits.
        states: the hidden states that Outputs carry.
        head: compute log-probabilities. If False, the pass stops after the deepest block in `states`.
    """
    hidden, mlp = (states.blocks, states.mlp) if states else ({}, frozenset())
    targets = batch.input_ids[batch.answer_mask]
    layers, mlps = (
        sorted({number for name, numbers in hidden.items() if (name in mlp) == of_mlps for number in numbers})
        for of_mlps in (False, True)
    )
    flat_logits, logps = None, None
    with ExitStack() as stack:
        residuals = stack.enter_context(tapped(model, layers, stop=not (head or mlps))) if layers else []
        writes = stack.enter_context(tapped(model, mlps, stop=False, mlp=True)) if mlps else []
        if head:
            flat_logits, logps = _scored(model, batch, layout, targets, keep=bool(logits))
        else:
            _run(causal_lm(model).base_model, batch, layout)
    pick, at = _picker(batch, layout), _answer_positions(batch) - 1
    flat_hidden = {
        (False, number): pick(state, at).to(targets.device) for number, state in zip(layers, residuals, strict=True)
    }
    flat_hidden |= {(True, number): pick(state, at).to(targets.device) for number, state in zip(mlps, writes, strict=True)}

    lengths = _answer_lengths(batch)
    outputs, first = {}, 0
    for name, (start, stop) in batch.groups.items():
        counts = lengths[start:stop]
        part = slice(first, first + sum(counts))
        outputs[name] = gather(
            None if logps is None else logps[part],
            targets[part],
            counts,
            logits=flat_logits[part] if flat_logits is not None and name in logits else None,
            hidden=tuple(flat_hidden[name in mlp, number][part] for number in hidden[name]) if name in hidden else None,
        )
        first = part.stop
    return outputs


def _scored(model: Any, batch: Batch, layout: Layout, targets: Tensor, *, keep: bool) -> tuple[Tensor | None, Tensor]:
    """Logits [n, V], if they are kept, and log-probabilities [n] of the answer tokens."""
    if keep or len(targets) <= CHUNK or not layout.own_head:
        logits = answer_logits(model, batch, layout)
        return logits, _token_logps(logits, targets)
    states = answer_hidden(model, batch, layout)
    chunks = zip(states.split(CHUNK), targets.split(CHUNK), strict=True)
    return None, torch.cat([checkpoint(_projected_logps, model, h, t, use_reentrant=False) for h, t in chunks])


def _answer_lengths(batch: Batch) -> list[int]:
    totals = F.pad(batch.answer_mask.cumsum(0), (1, 0))
    return totals[batch.row_offsets.to(totals.device)].diff().tolist()


def gather(
    logps: Tensor | None,
    targets: Tensor,
    counts: list[int],
    *,
    logits: Tensor | None = None,
    hidden: tuple[Tensor, ...] | None = None,
) -> Outputs:
    """Flat values of answer tokens [n, ...] and answer lengths to Outputs [B, T, ...], 0 past each row's end."""

    def rows(flat: Tensor) -> Tensor:
        return pad_sequence(flat.split(counts), batch_first=True)

    return Outputs(
        ABSENT if logps is None else rows(logps),
        rows(targets),
        rows(torch.ones_like(targets, dtype=torch.bool)),
        ABSENT if logits is None else rows(logits),
        ABSENT if hidden is None else tuple(rows(h.float()) for h in hidden),
    )
