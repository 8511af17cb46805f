"""Ablation: remove from the residual stream the direction that separates forget questions from others.

    h <- h - (h . d) d,   d = mean state at the end of forget questions - the same of retain rows, normed

Lucki et al., "An Adversarial Perspective on Machine Unlearning for AI Safety" (2024), whose directions need the original
model as well; this one needs the unlearned model alone. A point for each relative depth, as a percentage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import blocks, depth_index, replaced
from unlearn_cli.models.direction import refusal_direction

Depth = Annotated[tuple[int, ...], WholeNumbers(0, 100), parameter("percent of the way through the model, written 25+50")]


@attack(along="depth", paper="2409.18025", access="activations")
def ablate(
    target: Target,
    *,
    depth: Depth = (25, 50, 75),
) -> Iterator[Point]:
    target.check_hidden_states("ablate")
    if not target.data.train_retain:
        raise UnlearnError(
            "ablate needs retain rows: it compares the forget rows with them", "attack a run that has retain rows"
        )
    model, data = target.loaded.model, target.data
    prompts = [[row.prompt_ids for row in target.encoder.encode(rows)] for rows in (data.train_forget, data.train_retain)]
    with target.active():
        for percent in depth:
            layer = depth_index(percent / 100, len(blocks(model)))
            direction = refusal_direction(target.loaded, prompts[0], prompts[1][: len(prompts[0])], layer)
            unit = direction / direction.norm().clamp_min(1e-12)

            def without(hidden: Tensor, unit: Tensor = unit) -> Tensor:
                d = unit.to(hidden)
                return hidden - (hidden @ d)[..., None] * d

            with replaced(model, layer, without):
                yield target.measure(percent)
