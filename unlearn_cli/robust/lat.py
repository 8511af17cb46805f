"""Latent adversarial training: forgetting that holds when hidden states are pushed towards the answer.

    g = grad L_forget(h + d) + grad L_retain(h),   d = argmax L_forget(h + d) over |d_t| <= epsilon for every token

Sheshadri et al., "Latent Adversarial Training Improves Robustness to Persistent Harmful Behaviors in LLMs" (2024). The
adversary starts at d = 0 and takes `steps` normed gradient steps on the residual stream after one block, then d is held
fixed for the gradient of the weights. Published attacks use AdamW and the prompt's positions; here plain steps and
every position of the forget rows. steps = 0 is the plain gradient.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from unlearn_cli.contract import parameter, robust


@robust(paper="2407.15549")
def lat(
    gradients: Any,
    *,
    epsilon: Annotated[
        float, parameter("largest length of a token's perturbation, in mean lengths of a hidden state", gt=0)
    ] = 0.2,
    steps: Annotated[int, parameter("steps of the adversary", ge=0)] = 3,
    layer: Annotated[float, parameter("relative depth of the block", ge=0, le=1)] = 0.5,
) -> None:
    perturbations: list[Tensor] = []  # one for each micro-batch, in order
    calls, lengths = [0], []

    def shifted(hidden: Tensor) -> Tensor:
        number, calls[0] = calls[0], calls[0] + 1
        if number == len(perturbations):
            perturbations.append(torch.zeros_like(hidden).requires_grad_())
            lengths.append(hidden.detach().norm(dim=-1).mean())
        return hidden + perturbations[number]

    for _ in range(steps):
        calls[0] = 0
        with gradients.latent(shifted, layer):
            gradients.backward("forget")
        gradients.zero()
        for number, d in enumerate(perturbations):
            perturbations[number] = _ascended(d, epsilon * lengths[number], steps)
    calls[0] = 0
    if perturbations:
        perturbations = [d.detach() for d in perturbations]
        with gradients.latent(shifted, layer):
            gradients.backward("forget")
    else:
        gradients.backward("forget")
    gradients.backward("retain")


def _ascended(d: Tensor, radius: Tensor, steps: int) -> Tensor:
    """One step of at most 2 radius / steps up the gradient, back into the ball."""
    gradient = torch.zeros_like(d) if d.grad is None else d.grad
    norms = gradient.norm(dim=-1, keepdim=True)
    moved = d.detach() + torch.where(norms > 0, gradient / norms.clamp_min(1e-30), 0.0) * (2 * radius / steps)
    size = moved.norm(dim=-1, keepdim=True)
    return (moved * (radius / size.clamp_min(1e-30)).clamp_max(1.0)).requires_grad_()
