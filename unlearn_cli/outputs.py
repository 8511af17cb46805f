"""The values of one forward pass: log-probabilities of answer tokens, already shifted and masked.

Losses see this and nothing else: no labels, no -100, no pad token. `T` is the longest answer among the rows; positions
past a row's end hold 0 in `token_logps` and False in `mask`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# Value of a field that the method's decorator does not request. A method that requests the field gets its declared type.
ABSENT: Any = None


@dataclass(frozen=True)
class Outputs:
    """Answer tokens of B rows under one model."""

    # [B, T] float32 natural log-probability of each answer token, 0 where mask is False. ABSENT with `logps=False`: the pass
    # stops before the head.
    token_logps: Tensor
    targets: Tensor  # [B, T] int64 the answer tokens; 0 where mask is False
    mask: Tensor  # [B, T] bool, True on answer tokens
    logits: Tensor = ABSENT  # [B, T, V] float32 at the answer positions
    # At the positions that predict the answer tokens, one [B, T, H] for each layer of the method.
    hidden: tuple[Tensor, ...] = ABSENT

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

    def averaged(self, values: Tensor, average: str = "answers") -> Tensor:
        """[B] means of `values` [B, T] over the answer tokens of each row.

        With `average="tokens"` shares of the batch's token mean, which published code takes (Hugging Face's
        `outputs.loss`): their average over the rows is the mean over all answer tokens. A long answer weighs more, and the
        value of a row depends on the lengths of its neighbors, so accumulation changes it slightly.
        """
        lengths = self.lengths.to(values.dtype)
        # masked_fill, not a product: a value past a row's end may be infinite.
        return values.masked_fill(~self.mask, 0.0).sum(-1) / (lengths if average == "answers" else lengths.mean())
