"""MCU: minor component unlearning. Hidden states on the forget rows change only where they vary little.

    P projects on the fewest principal components of the reference's states that hold `variance` of their variance
    L = (1/n) sum_t (|(1 - P)(h_t - c u)|^2 + |P (h_t - h_ref,t)|^2) / H,   h the residual stream after one block

Xiao et al., "Robust LLM Unlearning Against Relearning Attacks: The Minor Components in Representations Matter" (2026).
Usual methods change the dominant components of the states, and fine-tuning on a few rows changes these back. Changes in
the minor components stay. The formula is our own: we read the abstract and the introduction, and the authors had
published no code. In the minor components it is that of rmu, with a target c times as long as the reference's states
there on average. In the dominant components the states stay near those of the reference. P is computed from the forget
rows of one pass, after their mean is subtracted. So the loss of a row depends on the other rows of its pass.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Positions, method, parameter
from unlearn_cli.methods.rmu import Layer, Seed, random_direction
from unlearn_cli.outputs import Outputs


def dominant(states: Tensor, variance: float) -> Tensor:
    """[H, H] projection on the fewest principal components of `states` [n, H] that hold `variance` of their variance."""
    centered = states - states.mean(0)
    _, lengths, components = torch.linalg.svd(centered, full_matrices=False)
    shares = lengths.square().cumsum(0) / lengths.square().sum().clamp_min(1e-30)
    # A component counts if those before it hold less than `variance`.
    before = torch.cat([shares.new_zeros(1), shares[:-1]])
    chosen = components[before < variance]
    return chosen.T @ chosen


@method(
    family="against relearning",
    paper="2605.11685",
    published={},
    because="we read the abstract and the introduction of the paper, which give no numbers",
    defaults=Defaults(retain_term="hidden-mse", retain_weight=8.0, retain_ratio=2, epochs=10),
    hidden=("policy", "reference"),
    logps=False,
    coupled=True,
)
def mcu(
    policy: Outputs,
    reference: Outputs,
    *,
    coefficient: Annotated[float, parameter("c: length of the target, in mean lengths of the minor part", gt=0)] = 10.0,
    variance: Annotated[float, parameter("share of the variance that the dominant components hold", ge=0, lt=1)] = 0.9,
    layer: Layer = 0.5,
    seed: Seed = 0,
    positions: Positions = "all",
    average: Average = "answers",
) -> Tensor:
    (states,), (known,) = policy.hidden, reference.hidden
    flat = known[policy.mask].detach()
    projection = dominant(flat, variance)
    length = (flat - flat @ projection).norm(dim=-1).mean()
    target = coefficient * length * random_direction(states.shape[-1], seed).to(states)
    aside, along = states - target, states - known
    minor, major = aside - aside @ projection, along @ projection
    return policy.averaged((minor.square() + major.square()).mean(-1), average)
