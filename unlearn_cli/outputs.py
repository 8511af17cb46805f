"""What one forward pass leaves behind: log-probabilities of answer tokens, already shifted and masked.

Losses see this and nothing else: no labels, no -100, no pad token. `T` is the longest answer among the rows; positions
past a row's end hold 0 in `token_logps` and False in `mask`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """Answer tokens of B rows under one model."""

    token_logps: Tensor  # [B, T] float32 natural log-probability of each answer token; 0 where mask is False
    targets: Tensor  # [B, T] int64 the answer tokens; 0 where mask is False
    mask: Tensor  # [B, T] bool, True on answer tokens
    logits: Tensor | None = None  # [B, T, V] float32 at the answer positions, only if asked for
    hidden: Tensor | None = None  # [B, T, H] last hidden state at the answer positions, only if asked for

    @property
    def lengths(self) -> Tensor:
        """[B] number of answer tokens of each row."""
        return self.mask.sum(-1)

    @property
    def sequence_logps(self) -> Tensor:
        """[B] log-probability of the whole answer: the sum over its tokens."""
        return self.token_logps.sum(-1)

    @property
    def mean_logps(self) -> Tensor:
        """[B] mean log-probability of an answer token; every answer counts alike, whatever its length."""
        return self.sequence_logps / self.lengths

    @property
    def token_weighted_logps(self) -> Tensor:
        """[B] shares of the batch's token mean: their average over the rows is the mean over all answer tokens.

        This is what the published code bases average (Hugging Face's `outputs.loss`). A long answer weighs more, and
        the value of a row depends on the lengths of its neighbours, so accumulation changes it slightly.
        """
        return self.sequence_logps / self.lengths.to(self.token_logps.dtype).mean()
