"""Rows packed end to end into one sequence, without a padding token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.tokenize import Row

TEMPLATE = 8  # tokens; a shorter beginning that all rows have in common is run with each of them


@dataclass(frozen=True)
class Batch:
    """B rows with N tokens. `groups` says which rows are forget rows, alternatives or retain rows."""

    input_ids: Tensor  # [N] int64
    position_ids: Tensor  # [N] int64, restarting at 0 with each row
    row_offsets: Tensor  # [B + 1] int32 on the CPU: row b is tokens row_offsets[b] to row_offsets[b + 1]
    answer_mask: Tensor  # [N] bool, True on scored tokens
    groups: Mapping[str, tuple[int, int]]  # name -> first row and row after the last
    # [B, 2] int32 on the CPU: row b continues from tokens begins[b, 0] to begins[b, 1] of the batch, its question. The two
    # are equal for a row with no such question. None: no row has one.
    begins: Tensor | None = None

    @property
    def rows(self) -> int:
        """B."""
        return len(self.row_offsets) - 1

    @property
    def tokens(self) -> int:
        """N."""
        return len(self.input_ids)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device. Row offsets stay on the CPU, because they are read as integers.

        So does the answer mask if the device is "meta", where tensors have no values: it says which tokens are scored.
        """
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=True),
            position_ids=self.position_ids.to(device, non_blocking=True),
            answer_mask=self.answer_mask if device.type == "meta" else self.answer_mask.to(device, non_blocking=True),
        )


def cycled(rows: Sequence[Row], step: int, batch: int) -> list[Row]:
    """The rows of a step: the next `batch` rows. After the last row it starts again with the first."""
    return [rows[(step * batch + i) % len(rows)] for i in range(min(batch, len(rows)))]


def pack(groups: Mapping[str, Sequence[Row]], *, share: bool = False) -> Batch:
    """Pack groups of rows, in order, into one batch.

    Args:
        groups: rows by name.
        share: put one copy of the tokens that all rows begin with (the template's system prompt) before them, as a row
            without an answer.
    """
    rows = [row for members in groups.values() for row in members]
    shared = template_length(rows) if share else 0
    bounds, first = {}, 1 if shared else 0
    for name, members in groups.items():
        bounds[name] = (first, first + len(members))
        first += len(members)
    return replace(_packed([rows], [shared]), groups=bounds)


def shared_length(rows: Sequence[Row]) -> int:
    """Number of leading tokens that all rows share, so that one copy of them is enough.

    The last token of the question is not counted: each answer has its own copy, which predicts the answer's first token.
    """
    if len(rows) < 2:
        return 0
    first = rows[0].input_ids
    length = min(row.answer_start for row in rows) - 1
    for row in rows[1:]:
        differs = np.flatnonzero(row.input_ids[:length] != first[:length])
        length = int(differs[0]) if len(differs) else length
    return max(length, 0)


def template_length(rows: Sequence[Row]) -> int:
    """Number of leading tokens that rows of different questions share; 0 if one copy of them would save nothing."""
    length = shared_length(rows)
    return length if length >= TEMPLATE else 0


def pack_shared(questions: Sequence[Sequence[Row]]) -> Batch:
    """Pack the rows of each question behind one copy of their shared tokens. That copy is a row without scored tokens."""
    return _packed(questions, [shared_length(rows) for rows in questions])


def _packed(questions: Sequence[Sequence[Row]], shared: Sequence[int]) -> Batch:
    """Pack the rows of each question, behind one copy of their first `shared` tokens if that is not 0."""
    ids, positions, scored, lengths, begins = [], [], [], [], []

    def add(row: Row, start: int, stop: int, begin: tuple[int, int]) -> None:
        at = np.arange(start, stop)
        ids.append(row.input_ids[start:stop])
        positions.append(at)
        scored.append((at >= row.answer_start) & (stop == len(row.input_ids)))
        lengths.append(stop - start)
        begins.append(begin)

    for rows, length in zip(questions, shared, strict=True):
        first = sum(lengths)
        if length:
            add(rows[0], 0, length, (first, first))
        for row in rows:
            add(row, length, len(row.input_ids), (first, first + length))
    return Batch(
        torch.from_numpy(np.concatenate(ids)),
        torch.from_numpy(np.concatenate(positions)),
        torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)),
        torch.from_numpy(np.concatenate(scored)),
        {"rows": (0, len(lengths))},
        torch.tensor(begins, dtype=torch.int32) if any(shared) else None,
    )


def packs(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Indices of rows by length, longest first, in packs of at most `token_budget` tokens; a longer row is alone."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    indices: list[list[int]] = []
    room = 0
    for i in order:
        if lengths[i] > room:
            indices.append([])
            room = token_budget
        indices[-1].append(i)
        room -= lengths[i]
    return indices
