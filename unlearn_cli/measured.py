"""Measurements of one split under one model. Metrics need nothing else. numpy only."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Measured:
    """R rows, n answer tokens end to end: row r holds tokens offsets[r] to offsets[r + 1].

    The token that ends an answer is scored like every other; metrics that leave it out by definition use `body`.
    """

    split: str
    ids: tuple[str, ...]  # R row ids
    prompts: tuple[str, ...]  # R, for people to read
    references: tuple[str, ...]  # R true answers
    generations: tuple[str | None, ...]  # R greedy answers; None where none was asked for
    token_logps: np.ndarray  # [n] float32 natural log-probability of each answer token
    is_argmax: np.ndarray  # [n] bool, the token was the most probable one
    mu: np.ndarray  # [n] float32 sum_v p log p at the token's position
    sigma: np.ndarray  # [n] float32 standard deviation of log p under p at the token's position
    offsets: np.ndarray  # [R + 1] int64
    ends: np.ndarray  # [R] bool, the last token ends the answer (False where it was cut off, or for raw text)
    rows_in_split: int  # rows before --eval-limit
    # Other answers to the same questions: mean log-probability of a token of each, the ending one included; NaN where
    # a row has none. None: not measured.
    paraphrased_logps: np.ndarray | None = None  # [R]
    perturbed_logps: np.ndarray | None = None  # [R, K] wrong answers
    paraphrases: tuple[str | None, ...] | None = None  # R paraphrased answers
    samples: tuple[tuple[str, ...], ...] | None = None  # R times sampled answers; empty where none was asked for
    grad_norms: np.ndarray | None = None  # [R] mean over parameter tensors of the 2-norm of the loss's gradient
    zlib_bytes: np.ndarray | None = None  # [R] length of the scored text under zlib; None: of `references`
    # What measuring cost: tokens that went through the model for scoring, those that had to (each question once, each
    # answer once), and tokens written.
    tokens_run: int = 0
    tokens_needed: int = 0
    tokens_generated: int = 0
    # How it was measured, in parts (rows, generated answers, precision, ...), each a fingerprint; empty: not known.
    protocol: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """R."""
        return len(self.ids)

    @cached_property
    def lengths(self) -> np.ndarray:
        """[R] answer tokens, the ending one included."""
        return np.diff(self.offsets)

    @cached_property
    def mean_logps(self) -> np.ndarray:
        """[R] mean log-probability of an answer token, the ending one included."""
        return np.add.reduceat(self.token_logps.astype(np.float64), self.offsets[:-1]) / self.lengths

    @cached_property
    def probabilities(self) -> np.ndarray:
        """[R] probability of each answer: the geometric mean over its tokens, the ending one included."""
        return np.exp(self.mean_logps)

    @cached_property
    def compressed_lengths(self) -> np.ndarray:
        """[R] length in bytes of the scored text under zlib."""
        if self.zlib_bytes is not None:
            return self.zlib_bytes
        return np.array([compressed_length(text) for text in self.references])

    def body(self, row: int) -> slice:
        """The tokens of a row without the one that ends the answer."""
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]) - int(self.ends[row]))


def compressed_length(text: str) -> int:
    """Length in bytes of a text under zlib at its default level."""
    return len(zlib.compress(text.encode()))


def differing(one: Measured, other: Measured) -> list[str]:
    """The parts of the protocol in which two measurements of a split differ; empty if they are comparable."""
    shared = [name for name in one.protocol if name in other.protocol]
    return [name for name in shared if one.protocol[name] != other.protocol[name]]


def joined(parts: Sequence[Measured]) -> Measured:
    """The rows of several measurements of one split, in order. A field that one part lacks is None."""
    columns: dict[str, Any] = {}
    for each in fields(Measured):
        values = [getattr(part, each.name) for part in parts]
        if each.name == "offsets":
            columns["offsets"] = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
        elif any(value is None for value in values):
            columns[each.name] = None
        elif isinstance(values[0], tuple):
            columns[each.name] = tuple(item for value in values for item in value)
        elif isinstance(values[0], np.ndarray):
            columns[each.name] = np.concatenate(values)
        else:
            columns[each.name] = sum(values) if isinstance(values[0], int) else values[0]
    return Measured(**columns)
