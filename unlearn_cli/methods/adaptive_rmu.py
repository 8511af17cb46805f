"""Adaptive RMU: RMU with a target in proportion to the length of the hidden states.

    L = (1/n) sum_t |h_t - c u|^2 / H,   c = scale * (1/n) sum_t |h_ref,t|

Dang et al., "On Effects of Steering Latent Representation for Large Language Model Unlearning" (2024). The authors
measure c once, on the first batch, where policy and reference are equal. Here each row has its own c, so that the order
of the batches changes nothing.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Positions, method, parameter
from unlearn_cli.methods.rmu import Layer, Seed, random_direction
from unlearn_cli.outputs import Outputs


@method(
    family="representation",
    paper="2408.06223",
    published={
        "scale": 5.0,
        "layer": 0.25,
        "retain_term": "hidden-mse",
        "retain_weight": 1200.0,
        "retain_ratio": 1,
        "average": "tokens",
        "batch_size": 4,
        "max_steps": 150,
        "learning_rate": 5e-5,
    },
    because=(
        "the published weight did not change a small model; 100 ended at 0.10 of the forget and 0.90 of the retain "
        "probability, 300 at 0.80 and 0.97"
    ),
    defaults=Defaults(retain_term="hidden-mse", retain_weight=150.0, retain_ratio=2, epochs=5),
    hidden=("policy", "reference"),
    logps=False,
)
def adaptive_rmu(
    policy: Outputs,
    reference: Outputs,
    *,
    scale: Annotated[float, parameter("length of the target, in lengths of a hidden state", gt=0)] = 5.0,
    layer: Layer = 0.5,
    seed: Seed = 0,
    positions: Positions = "all",
    average: Average = "answers",
) -> Tensor:
    (states,), (known,) = policy.hidden, reference.hidden
    coefficient = scale * policy.averaged(known.norm(dim=-1))
    target = coefficient[:, None, None] * random_direction(states.shape[-1], seed).to(states)
    return policy.averaged((states - target).square().mean(-1), average)
