"""Trained probe: a linear map, fitted at each depth, reads the answers out of the residual stream.

    p_l = softmax(head(norm(h_l + A h_l + b))),   A, b fitted on the attacker's rows by their negative log-likelihood

Belrose et al., "Eliciting Latent Predictions from Transformers with the Tuned Lens" (2023). A = 0, b = 0 is
`logit-lens`, and the fit starts there. The attacker has half of the forget rows and as many retain rows; the other
forget rows judge. What the same fit reads out of a model that never saw the rows is teaching, not recovery. A point for
each block; answers are scored, not generated. The weights are not changed: what the probe reads is in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack, parameter
from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.depth import blocks, causal_lm, replaced, shallow
from unlearn_cli.models.forward import forward
from unlearn_cli.training.pairing import Pairing


@attack(along="block", paper="2303.08112", access="activations")
def probe(
    target: Target,
    *,
    steps: Annotated[int, parameter("of the fit, at each block", ge=0)] = 60,
    rate: Annotated[float, parameter("of the fit, by Adam", gt=0)] = 1e-3,
    seed: Annotated[int, parameter("of the rows' order", ge=0)] = 0,
    batch_size: Annotated[int, parameter("rows of a step", ge=1)] = 8,
) -> Iterator[Point]:
    target.check_hidden_states("probe")
    model, data = target.loaded.model, target.data
    rows = target.encoder.encode([*data.train_forget, *data.train_retain[: len(data.train_forget)]])
    order = Pairing(seed, len(rows), 0, min(batch_size, len(rows)), 0)
    batches = [[rows[row] for _, row in order.forget(step)] for step in range(steps)]
    count, plan = len(blocks(model)), replace(target.plan, generate=-1)
    with target.active():
        for block in range(max(1, count // 2), count):
            with shallow(model, block), replaced(model, block, fitted(target, batches, block, rate)):
                yield target.measure(block, retain=False, plan=plan)


def fitted(target: Target, batches: Sequence[Sequence[Row]], block: int, rate: float) -> Callable[[Tensor], Tensor]:
    """The map h -> h + A h + b that reads the batches' answers best, on a model that ends with `block`."""
    loaded = target.loaded
    size = causal_lm(loaded.model).config.get_text_config().hidden_size
    a, b = (torch.zeros(shape, device=loaded.device, requires_grad=True) for shape in ((size, size), (size,)))

    def read(hidden: Tensor) -> Tensor:
        wide = hidden.float()
        return (wide + wide @ a.T + b).to(hidden)

    optimizer = torch.optim.Adam([a, b], lr=rate)
    with replaced(loaded.model, block, read):
        for rows in batches:
            outputs = forward(loaded.model, pack({"rows": rows}).to(loaded.device), loaded.layout)["rows"]
            (-outputs.mean_logps.mean()).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    a.requires_grad_(False)
    b.requires_grad_(False)
    return read
