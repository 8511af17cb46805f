"""Ablation: take out of the residual stream the direction that tells forget questions from others.

    h <- h - (h . d) d,   d = mean state at the end of forget questions - the same of rows to keep, normed

Lucki et al., "An Adversarial Perspective on Machine Unlearning for AI Safety" (2024), whose directions need the original
model as well; this one needs the unlearned model alone. A point for each relative depth, as a percentage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack, grid, parameter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import blocks, depth_index, replaced
from unlearn_cli.models.direction import refusal_direction


@attack(along="depth", paper="2409.18025", access="activations")
def ablate(
    target: Target,
    *,
    depth: Annotated[grid(0, 100), parameter("percent of the way through the model, written 25+50")] = (25, 50, 75),
) -> Iterator[Point]:
    if target.composed:
        raise UnlearnError("ablate: a composed model has two residual streams", "leave this attack out")
    if not target.retain:
        raise UnlearnError("ablate: there are no rows to keep to tell forget rows from", "a run with retain rows")
    model = target.loaded.model
    starts = [[row.prompt_ids for row in target.encoder.encode(rows)] for rows in (target.known, target.retain)]
    with target.standing():
        for percent in depth:
            layer = depth_index(percent / 100, len(blocks(model)))
            found = refusal_direction(target.loaded, starts[0], starts[1][: len(starts[0])], layer)
            unit = found / found.norm().clamp_min(1e-12)

            def without(hidden, unit=unit):
                d = unit.to(hidden)
                return hidden - (hidden @ d)[..., None] * d

            with replaced(model, layer, without):
                yield target.measure(percent)
