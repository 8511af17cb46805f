"""Rows packed end to end into one sequence, without a padding token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.tokenize import Row


@dataclass(frozen=True)
class Batch:
    """B rows, N tokens. Groups (forget rows, alternatives, retain rows) travel together and are told apart by `groups`."""

    input_ids: Tensor  # [N] int64
    position_ids: Tensor  # [N] int64, restarting at 0 with each row
    row_offsets: Tensor  # [B + 1] int32 on the CPU: row b is tokens row_offsets[b] to row_offsets[b + 1]
    answer_mask: Tensor  # [N] bool, True on scored tokens
    groups: Mapping[str, tuple[int, int]]  # name -> first row and row after the last

    @property
    def rows(self) -> int:
        """B."""
        return len(self.row_offsets) - 1

    @property
    def tokens(self) -> int:
        """N."""
        return len(self.input_ids)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; row offsets stay on the CPU, where they are read as integers."""
        move = {"device": device, "non_blocking": True}
        return Batch(
            self.input_ids.to(**move),
            self.position_ids.to(**move),
            self.row_offsets,
            self.answer_mask.to(**move),
            self.groups,
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


def packs(rows: Sequence[Row], token_budget: int) -> list[list[int]]:
    """Indices of rows, longest first, in packs of at most `token_budget` tokens (or one row, if that is longer)."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].input_ids))
    made: list[list[int]] = []
    room = 0
    for i in order:
        length = len(rows[i].input_ids)
        if length > room:
            made.append([])
            room = token_budget
        made[-1].append(i)
        room -= length
    return made
