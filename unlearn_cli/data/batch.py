"""Rows packed end to end into one sequence, without a padding token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.tokenize import Row


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
        """The batch on a device. Row offsets stay on the CPU, because they are read as integers."""
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=True),
            position_ids=self.position_ids.to(device, non_blocking=True),
            answer_mask=self.answer_mask.to(device, non_blocking=True),
        )


def pack(groups: Mapping[str, Sequence[Row]]) -> Batch:
    """Pack groups of rows, in order, into one batch."""
    rows = [row for members in groups.values() for row in members]
    lengths = np.array([len(row.input_ids) for row in rows])
    offsets = np.concatenate([[0], lengths.cumsum()])
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    starts = np.array([row.answer_start for row in rows])
    bounds, first = {}, 0
    for name, members in groups.items():
        bounds[name] = (first, first + len(members))
        first += len(members)
    return Batch(
        torch.from_numpy(np.concatenate([row.input_ids for row in rows])),
        torch.from_numpy(positions),
        torch.from_numpy(offsets.astype(np.int32)),
        torch.from_numpy(positions >= np.repeat(starts, lengths)),
        bounds,
    )


def shared_length(answers: Sequence[Row]) -> int:
    """Number of leading tokens that all answers to one question share, so that one copy of them is enough.

    The last token of the question is not counted: each answer has its own copy, which predicts the answer's first token.
    """
    if len(answers) == 1:
        return 0
    first = answers[0].input_ids
    length = min(row.answer_start for row in answers) - 1
    for row in answers[1:]:
        differs = np.flatnonzero(row.input_ids[:length] != first[:length])
        length = int(differs[0]) if len(differs) else length
    return length


def pack_shared(questions: Sequence[Sequence[Row]]) -> Batch:
    """Pack the answers to each question behind one copy of their shared tokens. That copy is a row without scored tokens."""
    ids, positions, scored, lengths, begins = [], [], [], [], []

    def add(row: Row, start: int, stop: int, begin: tuple[int, int]) -> None:
        at = np.arange(start, stop)
        ids.append(row.input_ids[start:stop])
        positions.append(at)
        scored.append((at >= row.answer_start) & (stop == len(row.input_ids)))
        lengths.append(stop - start)
        begins.append(begin)

    for answers in questions:
        shared, first = shared_length(answers), sum(lengths)
        if shared:
            add(answers[0], 0, shared, (first, first))
        for row in answers:
            add(row, shared, len(row.input_ids), (first, first + shared))
    return Batch(
        torch.from_numpy(np.concatenate(ids)),
        torch.from_numpy(np.concatenate(positions)),
        torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)),
        torch.from_numpy(np.concatenate(scored)),
        {"rows": (0, len(lengths))},
        torch.tensor(begins, dtype=torch.int32),
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
