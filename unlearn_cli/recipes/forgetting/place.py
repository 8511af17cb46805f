"""Where the adapter goes."""

from __future__ import annotations

from typing import Any

from unlearn_cli.models.compose import Composition
from unlearn_cli.models.depth import blocks, down_projection, linears
from unlearn_cli.training.objective import Objective


def adapted_modules(model: Any, objective: Objective, composition: Composition | None) -> list[str] | None:
    """Names of the modules that get the adapter, if the method chooses them; None: the options decide."""
    method, count = objective.method, len(blocks(model)) if objective.method.trains != "all" else 0
    if method.trains == "down_projection":
        return [down_projection(model, min(objective.layers[0], count))]
    if method.trains == "assistant":
        return linears(model, composition.blocks if composition and composition.blocks else count)
    return None
