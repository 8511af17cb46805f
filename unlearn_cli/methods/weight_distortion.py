"""Weight distortion: unlearn, add noise to every weight, and train on the retain rows.

    theta <- theta + N(0, sigma^2), once;   then L = (1/n) sum_t KL(p_before(.|y_<t) || p(.|y_<t)) on the retain rows

Siddiqui et al., "From Dormant to Deleted: Tamper-Resistant Unlearning Through Weight-Space Regularization" (2025). A
model that is far from the original in its weights is slower to relearn. sigma is absolute in the paper (0.02, vision
models); here it is a share of each matrix's own standard deviation, so that one value serves every model, and vectors
stay as they are. Deviation: the retain rows are distilled from the model before the noise; the authors train on labels.
The artifact is a whole model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch

from unlearn_cli.contract import TRAINED, Defaults, Sizes, parameter, procedure
from unlearn_cli.methods._distillation import divergence, steps
from unlearn_cli.methods.layered import Base


def distorted(weight: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """`weight` plus noise of `sigma` times its standard deviation; a vector is not changed."""
    if weight.dim() < 2:
        return weight
    return weight + sigma * weight.std() * torch.randn(weight.shape, generator=generator).to(weight)


def kept(sizes: Sizes, **parameters: Any) -> int:
    """A copy of the model before the noise, and the training of every weight."""
    return (1 + TRAINED) * sizes.whole


@procedure(
    paper="2505.22310",
    family="against relearning",
    published={},
    because="the paper's setting is for vision models: noise of 0.02, whatever the size of the weights",
    defaults=Defaults(epochs=6, retain_ratio=2),
    artifact="model",
    steps=steps,
    holds=kept,
    distills=("retain",),
)
def weight_distortion(
    bench: Any,
    *,
    base: Base = "simnpo",
    sigma: Annotated[float, parameter("size of the noise, as a share of each matrix's standard deviation", ge=0)] = 0.5,
    epochs: Annotated[float, parameter("length of the second training, in passes over the forget rows", gt=0)] = 12.0,
    rate: Annotated[float, parameter("peak learning rate of that training", gt=0)] = 1e-3,
) -> Iterator[Any]:
    yield from bench.unlearn()
    bench.drop_adapter(merge=True)
    before, generator = bench.copy(), torch.Generator().manual_seed(bench.seed)
    with torch.no_grad():
        for tensor in bench.weights().values():
            tensor.copy_(distorted(tensor, sigma, generator))

    def loss(step: int) -> tuple[torch.Tensor, float]:
        return divergence(bench, before, bench.retain_batch(step)), 0.0

    yield from bench.train_whole(loss, steps=bench.steps_in(epochs), peak=rate)
