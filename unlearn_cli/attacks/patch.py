"""Activation patching: the original's residual stream after one block, and the unlearned model's later blocks.

    h_l <- h_l of the original on the same tokens

Zhang and Nanda, "Towards Best Practices of Activation Patching in Language Models" (2023). If the answer comes back,
the later blocks can still read it: unlearning only stopped the earlier blocks from writing it. If not, the later blocks
have lost it too. A model that never knew the rows gets the same patch: what it reads out of the original's stream is no
recovery. A point for each relative depth, as a percentage. Needs the original, so it is a test of depth rather than a
threat; answers are scored, not generated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from torch import Tensor

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.models.depth import blocks, depth_index, replaced

Depth = Annotated[tuple[int, ...], WholeNumbers(0, 99), parameter("percent of the way through the model, written 25+50")]


@attack(along="depth", paper="2309.16042", access="activations")
def patch(target: Target, *, depth: Depth = (25, 50, 75)) -> Iterator[Point]:
    model, plan = target.loaded.model, replace(target.plan, generate=-1)
    for percent in depth:
        layer, kept = depth_index(percent / 100, len(blocks(model))), list[Tensor]()

        def keep(hidden: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(hidden)
            return hidden

        # Both passes see the same rows in the same batches, so the streams come back in their order.
        with target.toward_original(1.0), replaced(model, layer, keep):
            target.measure(percent, retain=False, plan=plan)
        streams = iter(kept)

        def put_back(hidden: Tensor, streams: Iterator[Tensor] = streams) -> Tensor:
            return next(streams).to(hidden)

        with target.active(), replaced(model, layer, put_back):
            yield target.measure(percent, retain=False, plan=plan)
