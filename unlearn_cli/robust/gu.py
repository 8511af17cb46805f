"""Geometric disentanglement: the forget gradient without its part in the span of retain gradients.

    g_forget <- g_forget - P g_forget,   P onto the span of the newest retain gradients, tensor by tensor
    g = g_forget + grad L_retain

Zhou et al., "Geometric-Disentanglement Unlearning" (2025). To first order the step leaves the retain loss as it is.
`gru` removes only a part that conflicts with the retain gradient. This rule also removes a part that agrees with it:
later training on other rows moves these directions, and would undo forgetting that rests on them. The authors project
in the metric of the optimizer's second moments, here the metric is Euclidean. The span is kept in checkpoints: it costs
as many copies of the trained weights as it has gradients.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from unlearn_cli.contract import parameter, robust


def without_span(gradient: Tensor, others: list[Tensor]) -> Tensor:
    """`gradient` less its projection onto the span of `others`, all of one shape; others of length 0 are ignored."""
    span = torch.stack([other.flatten().float() for other in others], dim=1)
    u, s, _ = torch.linalg.svd(span, full_matrices=False)
    u = u[:, s > 1e-6 * s.max().clamp_min(1e-30)]
    flat = gradient.flatten().float()
    return (flat - u @ (u.T @ flat)).view_as(gradient).to(gradient)


@robust(paper="2511.17100", holds=lambda trained, *, span: (span + 3) * trained)
def gu(
    gradients: Any, *, span: Annotated[int, parameter("retain gradients that are projected away, the newest", ge=1)] = 4
) -> None:
    gradients.backward("retain")
    retain = gradients.collect()
    known = [*gradients.state.get("span", []), [g.clone() for g in retain]][-span:]
    gradients.state["span"] = known
    gradients.backward("forget")
    forget = gradients.collect()
    free = [without_span(g, list(others)) for g, *others in zip(forget, *known, strict=True)]
    gradients.put([f + r for f, r in zip(free, retain, strict=True)])
