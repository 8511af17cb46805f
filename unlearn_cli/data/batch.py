"""Rows packed end to end into one sequence, without a padding token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.tokenize import Row

FEWEST = 8  # tokens; a shorter beginning that rows have in common is run with each of them


class Part(NamedTuple):
    """Tokens `start` to `stop` of a row."""

    row: Row
    start: int
    stop: int
    parent: int = -1  # number of the part that they continue from; -1: none


@dataclass(frozen=True)
class Batch:
    """B rows with N tokens. `groups` says which rows are forget rows, alternatives or retain rows."""

    input_ids: Tensor  # [N] int64
    position_ids: Tensor  # [N] int64, restarting at 0 with each row
    row_offsets: Tensor  # [B + 1] int32 on the CPU: row b is tokens row_offsets[b] to row_offsets[b + 1]
    answer_mask: Tensor  # [N] bool, True on scored tokens
    groups: Mapping[str, tuple[int, int]]  # name -> first row and row after the last
    # [B] int32 on the CPU: row b continues from row parents[b], an earlier one, which may itself continue from a row; -1:
    # from none. None: no row continues from another.
    parents: Tensor | None = None

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
        share: put one copy of the tokens that several rows begin with before them, as rows without an answer: the template's
            system prompt, and each question with several answers.
    """
    rows = [row for members in groups.values() for row in members]
    beginnings, parents = _beginnings(rows) if share else ([], [-1] * len(rows))
    bounds, first = {}, len(beginnings)
    for name, members in groups.items():
        bounds[name] = (first, first + len(members))
        first += len(members)
    starts = [beginnings[parent].stop if parent >= 0 else 0 for parent in parents]
    rest = [Part(row, start, len(row.input_ids), p) for row, start, p in zip(rows, starts, parents, strict=True)]
    return replace(_packed([*beginnings, *rest]), groups=bounds)


def _beginnings(rows: Sequence[Row]) -> tuple[list[Part], list[int]]:
    """The template and the questions that several rows begin with, and for each row the number of its longest beginning."""
    template = template_length(rows)
    parts = [Part(rows[0], 0, template)] if template else []
    root = len(parts) - 1
    parents = [root] * len(rows)
    for members in by_question(rows):
        row = rows[members[0]]
        if len(members) > 1 and row.answer_start - 1 - template >= FEWEST:
            parts.append(Part(row, template, row.answer_start - 1, root))
            for i in members:
                parents[i] = len(parts) - 1
    return parts, parents


def by_question(rows: Sequence[Row]) -> list[list[int]]:
    """Indices of the rows that ask each question. As in `shared_length`, its last token does not count."""
    questions: dict[bytes, list[int]] = {}
    for i, row in enumerate(rows):
        questions.setdefault(row.input_ids[: row.answer_start - 1].tobytes(), []).append(i)
    return list(questions.values())


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
    return length if length >= FEWEST else 0


def pack_shared(questions: Sequence[Sequence[Row]]) -> Batch:
    """Pack the rows of each question behind one copy of their shared tokens. That copy is a row without scored tokens."""
    parts: list[Part] = []
    for rows in questions:
        length, parent = shared_length(rows), -1
        if length:
            parent = len(parts)
            parts.append(Part(rows[0], 0, length))
        parts += [Part(row, length, len(row.input_ids), parent) for row in rows]
    return _packed(parts)


def _packed(parts: Sequence[Part]) -> Batch:
    """Each part as a row of the batch. A part that ends before its row's answer has no scored token."""
    positions = [np.arange(part.start, part.stop) for part in parts]
    parents = [part.parent for part in parts]
    return Batch(
        torch.from_numpy(np.concatenate([part.row.input_ids[part.start : part.stop] for part in parts])),
        torch.from_numpy(np.concatenate(positions)),
        torch.from_numpy(np.cumsum([0, *map(len, positions)]).astype(np.int32)),
        torch.from_numpy(np.concatenate([at >= part.row.answer_start for at, part in zip(positions, parts, strict=True)])),
        {"rows": (0, len(parts))},
        torch.tensor(parents, dtype=torch.int32) if max(parents) >= 0 else None,
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
