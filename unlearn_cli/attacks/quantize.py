"""Rounding: weights in fewer bits may fall back to where they were before unlearning moved them.

    q = round(w / s),  s = max |w| / (2^(b-1) - 1) over groups of 128 weights of a row;   w <- s q

Zhang et al., "Catastrophic Failure of LLM Unlearning via Quantization" (2024): small steps of training vanish below the
step of the grid. Round-to-nearest in plain torch, and the formats of bitsandbytes, on the weights with the adapter merged;
embeddings and head stay. The models before unlearning and without the rows are rounded alike. `equal_codes`: the share of
weights whose code is still that of the model before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.models.weights import formats_known, read_back

GROUP = 128


def codes(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes [rows, groups, 128] as floats and scales [rows, groups, 1]; the last group of a row is filled with 0."""
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight.float(), (0, -columns % GROUP)).view(rows, -1, GROUP)
    scale = padded.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    return (padded / scale.clamp_min(1e-30)).round(), scale


def rounded(weight: Tensor, bits: int) -> Tensor:
    """The matrix in `bits` bits, read back."""
    q, scale = codes(weight, bits)
    return (q * scale).view(weight.shape[0], -1)[:, : weight.shape[1]].to(weight.dtype)


def equal_codes(first: Tensor, second: Tensor, bits: int) -> float:
    """Share of the weights whose code is the same in both matrices."""
    same = codes(first, bits)[0] == codes(second, bits)[0]
    return float(same.view(len(first), -1)[:, : first.shape[1]].float().mean())


Formats = Annotated[
    tuple[Literal["nf4", "fp4", "int8"], ...],
    BeforeValidator(lambda value: tuple(value.split("+")) if isinstance(value, str) else value),
    parameter("formats of bitsandbytes, written nf4+fp4; left out where it is not installed"),
]
Bits = Annotated[tuple[int, ...], WholeNumbers(2, 16), parameter("bits of a weight, written 8+4")]


@attack(along="bits", paper="2410.16454")
def quantize(
    target: Target,
    *,
    bits: Bits = (8, 6, 5, 4, 3, 2),
    formats: Formats = ("int8", "nf4", "fp4"),
) -> Iterator[Point]:
    for count in bits:
        with target.changed_weights(partial(rounded, bits=count)):
            point = target.measure(count)
        equal = target.compare_with_original(partial(equal_codes, bits=count))
        yield point if equal is None else replace(point, details={"equal_codes": equal})
    for kind in formats if formats_known() else ():
        with target.changed_weights(partial(read_back, kind=kind)):
            yield target.measure(kind)
