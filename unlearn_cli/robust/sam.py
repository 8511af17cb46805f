"""Sharpness-aware minimization of the forget term: forgetting that a small step of the weights does not undo.

    g = grad L_forget(theta + rho g0 / |g0|) + grad L_retain(theta),   g0 = grad L_forget(theta)

Fan et al., "Towards LLM Unlearning Resilient to Relearning Attacks: A Sharpness-Aware Minimization Perspective and
Beyond" (2025). rho = 0 is the plain gradient. Costs a second pass over the forget rows. The authors' code works on one
micro-batch; here a step is whole whatever its accumulation, and their base losses were NPO on raw logits or on a batch
mean.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch

from unlearn_cli.contract import parameter, robust


@robust(paper="2502.05374", holds=lambda trained, **parameters: 2 * trained)
def sam(
    gradients: Any, *, rho: Annotated[float, parameter("length of the step into the sharpest direction", ge=0)] = 0.01
) -> None:
    gradients.backward("forget")
    ascent = gradients.collect()
    norm = torch.stack([g.norm() for g in ascent]).norm()
    saved = [p.detach().clone() for p in gradients.parameters]
    with torch.no_grad():
        for tensor, gradient in zip(gradients.parameters, ascent, strict=True):
            tensor.add_(gradient * (rho / norm) if norm > 0 else 0.0)
    gradients.backward("forget")
    with torch.no_grad():
        for tensor, before in zip(gradients.parameters, saved, strict=True):
            tensor.copy_(before)  # not subtracted: the way back must be exact
    gradients.backward("retain")
