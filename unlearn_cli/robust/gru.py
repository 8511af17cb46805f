"""Gradient rectified unlearning: the forget gradient loses the part that conflicts with the retain gradient.

    m <- gamma grad L_retain + (1 - gamma) m
    g_forget <- g_forget - (<g_forget, m> / |m|^2) m   if <g_forget, m> < 0;   g = g_forget + add grad L_retain

Wang et al., "GRU: Mitigating the Trade-off between Unlearning and Retention for LLMs" (2025). Without a conflict nothing
changes; with one, the forget gradient becomes orthogonal to m. m is kept from step to step and in checkpoints. The
authors' plain rule updates with the rectified forget gradient alone (`add=0`). Their option gru+ce adds the retain
gradient (`add=1`), and is the default here: without it nothing brings the retain rows back.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch

from unlearn_cli.contract import parameter, robust


@robust(paper="2503.09117", holds=lambda trained, **parameters: 3 * trained)
def gru(
    gradients: Any,
    *,
    gamma: Annotated[float, parameter("share of the newest retain gradient", gt=0, le=1)] = 0.8,
    add: Annotated[float, parameter("how much of the retain gradient is added: 0 the plain rule, 1 gru+ce", ge=0)] = 1.0,
) -> None:
    gradients.backward("retain")
    retain = gradients.collect()
    known = gradients.state.get("average")
    average = (
        [g.clone() for g in retain] if known is None else [m.lerp(g, gamma) for m, g in zip(known, retain, strict=True)]
    )
    gradients.state["average"] = average
    gradients.backward("forget")
    forget = gradients.collect()
    dot = torch.stack([(f * m).sum() for f, m in zip(forget, average, strict=True)]).sum()
    length = torch.stack([m.square().sum() for m in average]).sum()
    conflict = dot / length if dot < 0 else 0.0
    gradients.put([f - conflict * m + add * r for f, m, r in zip(forget, average, retain, strict=True)])
