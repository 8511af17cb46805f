"""Offset unlearning: a small assistant learns what to add to the base's logits.

    z = z_base + weight (z_assistant - z_assistant before training),   L = npo of z against the base

Huang et al., "Offset Unlearning for Large Language Models" (2024). The assistant is the first part of the same layers
with an adapter of its own, and is trained through the sum; before training nothing is added. The authors' assistant is
a smaller model of the same family, fully trained, with a choice of losses; npo is the one offered here. The artifact is
not a plain adapter: it works in `unlearn evaluate` and `unlearn_cli.load`.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Defaults, method, parameter
from unlearn_cli.methods.npo import npo
from unlearn_cli.methods.uld import Depth
from unlearn_cli.outputs import Outputs


@method(
    family="composition",
    paper="2404.11045",
    published={"weight": 1.0, "beta": 0.1, "retain_ratio": 1},
    because="npo trains the assistant, at the settings of npo; the authors train another, smaller model of the family",
    defaults=Defaults(retain_weight=20.0, retain_ratio=2, epochs=5),
    trains="assistant",
    applied="logit_offset",
)
def offset(
    policy: Outputs,
    reference: Outputs,
    *,
    beta: Annotated[float, parameter("inverse temperature of npo", gt=0)] = 0.05,
    weight: Annotated[float, parameter("weight of the added logits", ge=0)] = 1.0,
    depth: Depth = 0.5,
) -> Tensor:
    return npo(policy, reference, beta=beta)
